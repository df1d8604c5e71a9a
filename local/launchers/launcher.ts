/** What starts sandboxes. One interface for all the ways there are: a process, a container, a fork of a template. */
import { z } from 'zod';

export interface Launcher {
  /**
   * What a sandbox is here, asked of the sandbox program itself.
   * @throws ConfigurationError that says what to do if sandboxes cannot be started here, or not be confined
   */
  describe(): Promise<SandboxDescription>;
  /** Starts a sandbox and returns at once. `name` is its own; `environment` is what the sandbox program is told. */
  launch(name: string, environment: Record<string, string>, observer: SandboxObserver): LaunchedSandbox;
  /**
   * Removes what is left of a sandbox that has ended, however it did; and ends one that has outlived the runtime that
   * started it.
   */
  cleanUp(name: string): Promise<void>;
  /** Ends what runs beside the sandboxes; to be called once they have ended. */
  close(): Promise<void>;
}

/** Is told of a sandbox's life: at most once that it runs, then line by line what it logs, and once that it is over. */
export interface SandboxObserver {
  started(): void;
  logged(line: string): void;
  /** Nothing of it is left. Its last lines may come after this. */
  ended(ending: Ending): void;
}

/**
 * How a sandbox ended: with an exit code, which is 128 and the signal's number if a signal ended it, and null if nobody
 * saw it; or why it never began.
 */
export type Ending = { exitCode: number | null } | { notStarted: string };

export interface LaunchedSandbox {
  /** Asks it to end. */
  stop(): void;
  /** Ends it and all that it started. */
  kill(): void;
}

export const sandboxDescriptionSchema = z.object({
  /** Layer by layer. */
  isolation: z.record(z.string(), z.string()),
  /** Version of the Python that runs programs. */
  python: z.string(),
  /** Version by name of each package that programs may import. */
  packages: z.record(z.string(), z.string()),
});
export type SandboxDescription = z.infer<typeof sandboxDescriptionSchema>;
