"""Results to pictures; never trains, and loads matplotlib only to draw.

Every `draw` function writes the picture `out` (.png, .pdf or .svg) with `source` as small print below it, and raises
UserError or OSError as `style.drawing` does.
"""
