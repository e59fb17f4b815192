#!/bin/bash
#SBATCH --job-name=w2v
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --open-mode=append
#SBATCH --output=w2v-%j.log
#SBATCH --requeue

# SIGTERM goes on to every process, which saves; then the job waits in the queue again, and continues.
requeue() {
  kill -TERM "$!"; wait "$!"
  scontrol requeue "$SLURM_JOB_ID"
}
trap requeue TERM
cd "$SLURM_SUBMIT_DIR" || exit 2
srun --kill-on-bad-exit=1 python -m experiments.train --config=configs/gpt2_pod.py --workdir=gs://my-bucket/lm1b &
wait "$!"
