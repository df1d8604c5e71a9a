/**
 * How long Fargate takes to start a task, from RunTask to its first process: log-normal about 30 s, and never less than
 * 20 or more than 60 s.
 */
export const MEDIAN = 30;
export const SPREAD = 0.3;
export const [FASTEST, SLOWEST] = [20, 60];

/** The middles of the distribution's three thirds, in seconds: what stands for it where each try takes long. */
export const START_TIMES = [-0.967, 0, 0.967].map((deviation) =>
  Math.min(Math.max(MEDIAN * Math.exp(SPREAD * deviation), FASTEST), SLOWEST),
);

/** Decides how long the local ECS takes to start each task. */
export class TaskStarts {
  /** Seconds for tasks that nobody decided about. */
  others = 0;
  #next: { seconds: number; resolve(): void } | undefined;

  /** For `sandboxStartDelay`. */
  readonly delay = (): number => {
    const { seconds, resolve } = this.#next ?? { seconds: this.others, resolve: () => undefined };
    this.#next = undefined;
    resolve();
    return seconds * 1000;
  };

  /** Has the next task take `seconds`; resolves when it is asked for. */
  next(seconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.#next = { seconds, resolve };
    });
  }
}
