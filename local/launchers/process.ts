/** A sandbox is the sandbox program as a child process. */
import path from 'node:path';
import { ConfigurationError } from '../../functions/service/errors.ts';
import { describeByCommand, launchCommand } from './command.ts';
import type { LaunchedSandbox, Launcher, SandboxDescription, SandboxObserver } from './launcher.ts';
import { removeFolder } from './remove-folder.ts';

/** What the sandbox program is told of this machine. */
export interface SandboxOptions {
  /** The folder of the Python package `sandbox`. */
  cwd: string;
  confinement: 'required' | 'unconfined';
  /** The folder for the folders of sandboxes. default: the sandbox program's choice, and nobody cleans up after it */
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

  launch(name: string, environment: Record<string, string>, observer: SandboxObserver): LaunchedSandbox {
    const { command = 'python3', args = ['-m', 'sandbox'], cwd } = this.#options;
    const env = {
      ...programEnvironment(),
      ...environment,
      ...sandboxVariables(this.#options, name),
      SANDBOX_EXIT_WITH_PARENT: '1',
    };
    return launchCommand({ command, args, cwd, env }, observer);
  }

  /** Processes end with the runtime that started them, but one that is killed leaves its folder. */
  async cleanUp(name: string): Promise<void> {
    const folder = workDirOf(this.#options, name);
    if (folder) await removeFolder(folder);
  }

  async close(): Promise<void> {}
}

/** All that the sandbox program has of the runtime's environment. */
export const programEnvironment = () => ({
  PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
  LANG: 'C.UTF-8',
});

export function sandboxVariables(options: SandboxOptions, name: string): Record<string, string> {
  const folder = workDirOf(options, name);
  return { SANDBOX_CONFINEMENT: options.confinement, ...(folder && { SANDBOX_WORK_DIR: folder }) };
}

/** Each sandbox has a folder of its own, which the sandbox program makes. */
const workDirOf = ({ workDir }: SandboxOptions, name: string) => workDir && path.join(workDir, name);

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
