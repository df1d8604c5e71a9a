/** A sandbox is the sandbox program as a child process. */
import { ConfigurationError } from '../../functions/service/errors.ts';
import { describeByCommand, launchCommand } from './command.ts';
import type { LaunchedSandbox, Launcher, SandboxDescription, SandboxObserver } from './launcher.ts';

/** What the sandbox program is told of this machine. */
export interface SandboxOptions {
  /** The folder of the Python package `sandbox`. */
  cwd: string;
  confinement: 'required' | 'unconfined';
  /** The folder for the working folders of attempts. default: the sandbox program's choice */
  workDir?: string;
}

export interface ProcessOptions extends SandboxOptions {
  /** default: `python3` */
  command?: string;
  /** default: `-m sandbox` */
  args?: string[];
}

export class ProcessLauncher implements Launcher {
  readonly #options: ProcessOptions;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  async describe(): Promise<SandboxDescription> {
    const { command = 'python3', cwd, confinement } = this.#options;
    const env = { ...process.env, SANDBOX_CONFINEMENT: confinement };
    const described = await describeByCommand({ command, args: ['-m', 'sandbox', '--describe'], cwd, env });
    if (confinement === 'required') requireConfinement(described);
    return described;
  }

  launch(_name: string, environment: Record<string, string>, observer: SandboxObserver): LaunchedSandbox {
    const { command = 'python3', args = ['-m', 'sandbox'], cwd } = this.#options;
    const env = {
      ...programEnvironment(),
      ...environment,
      ...sandboxVariables(this.#options),
      SANDBOX_EXIT_WITH_PARENT: '1',
    };
    return launchCommand({ command, args, cwd, env }, observer);
  }

  /** Processes end with the runtime that started them. */
  removeLeftOver(): void {}

  async close(): Promise<void> {}
}

/** All that the sandbox program has of the runtime's environment. */
export const programEnvironment = () => ({
  PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
  LANG: 'C.UTF-8',
});

export const sandboxVariables = ({ confinement, workDir }: SandboxOptions): Record<string, string> => ({
  SANDBOX_CONFINEMENT: confinement,
  ...(workDir && { SANDBOX_WORK_DIR: workDir }),
});

function requireConfinement({ isolation: { seccomp, landlock, uid } }: SandboxDescription): void {
  if (!seccomp?.startsWith('on')) {
    throw new ConfigurationError(
      `Programs cannot be confined here: seccomp is ${seccomp}. Install libseccomp (Debian: apt-get install ` +
        'libseccomp2), or use SANDBOX=docker, or accept the risk with SANDBOX=unconfined.',
    );
  }
  if (!landlock?.startsWith('on') && !uid?.startsWith('separate')) {
    throw new ConfigurationError(
      `Programs could read and change your files here: landlock is ${landlock}. Use SANDBOX=docker, or start as root, ` +
        'so that programs get a user of their own, or accept the risk with SANDBOX=unconfined.',
    );
  }
}
