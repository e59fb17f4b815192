"""The launcher's hand on a worker: installs, starts, watches and ends a run there.

    python3 -I -S w2v_jax_agent.pyz start|poll|stop|dump [lines=N]

It is packed into one file, copied to every worker, and runs there with the machine's own Python (3.10), so it needs
nothing but the standard library. `start` leaves two processes behind that outlive the connection: a supervisor, which
installs and then runs the command of `w2v_jax_run.json`, and a guard, which at the end of the paid hours ends the run
and deletes the machine. The last line that a verb prints is `W2V_JAX` and one JSON object.
"""
