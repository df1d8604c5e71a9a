/** A sandbox is a container of the sandbox image. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ConfigurationError } from '../../functions/service/errors.ts';
import { type Command, describeByCommand, launchCommand } from './command.ts';
import type { LaunchedSandbox, Launcher, SandboxDescription, SandboxObserver } from './launcher.ts';

const IMAGE = 'recursive-ai-executor-sandbox';
const MEMORY_MB = 1024;
/** What tells the docker command where its daemon is. */
const DOCKER_VARIABLES = [
  'DOCKER_HOST',
  'DOCKER_CONTEXT',
  'DOCKER_CONFIG',
  'DOCKER_CERT_PATH',
  'DOCKER_TLS_VERIFY',
  'XDG_RUNTIME_DIR',
];

export class DockerLauncher implements Launcher {
  async describe(): Promise<SandboxDescription> {
    await checkDocker();
    const { args, ...command } = dockerCommand('sandbox-described', {});
    const described = await describeByCommand({ ...command, args: [...args, '-m', 'sandbox', '--describe'] });
    return { ...described, isolation: { container: 'docker', ...described.isolation } };
  }

  launch(name: string, environment: Record<string, string>, observer: SandboxObserver): LaunchedSandbox {
    const client = launchCommand(dockerCommand(containerOf(name), environment), observer);
    return {
      stop: client.stop,
      kill() {
        docker('kill', containerOf(name));
        client.kill();
      },
    };
  }

  async cleanUp(name: string): Promise<void> {
    docker('rm', '--force', '--volumes', containerOf(name));
  }

  async close(): Promise<void> {}
}

const containerOf = (name: string) => `sandbox-${name}`;

/** What it is about may be gone already, so the outcome is of no interest. */
function docker(...args: string[]): void {
  execFile('docker', args, () => {});
}

/** Rejects, saying what to do, unless docker runs and has the image. */
async function checkDocker(): Promise<void> {
  try {
    await promisify(execFile)('docker', ['image', 'inspect', '--format', '{{.Id}}', IMAGE]);
  } catch (error) {
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    if (code === 'ENOENT')
      throw new ConfigurationError('SANDBOX=docker needs docker, which is not installed.');
    if (/no such image/i.test(stderr)) {
      throw new ConfigurationError(
        `The image ${IMAGE} is missing. Build it: docker build -t ${IMAGE} sandbox-image`,
      );
    }
    throw new ConfigurationError(`SANDBOX=docker: docker does not answer: ${stderr.trim()}`);
  }
}

/**
 * As little as the program needs: the supervisor is root in the container, to give each attempt a user id of its own.
 * It shares the host's network, as the endpoint listens on the host's loopback interface; attempts have no network.
 */
function dockerCommand(container: string, environment: Record<string, string>): Command {
  const memoryMb = Number(environment.SANDBOX_MEMORY_MB ?? MEMORY_MB);
  const capabilities = ['SETUID', 'SETGID', 'CHOWN', 'KILL', 'DAC_OVERRIDE', 'FOWNER'];
  const args = [
    'run',
    '--rm',
    '--init',
    `--name=${container}`,
    '--network=host',
    '--read-only',
    // As large as a task of Fargate's has it: where nothing can be mounted, that bounds what attempts write.
    '--tmpfs=/tmp:size=640m,nr_inodes=20000',
    '--cap-drop=ALL',
    ...capabilities.map((capability) => `--cap-add=${capability}`),
    '--security-opt=no-new-privileges',
    // As in a task: beside a program there are its files, the supervisor and the preloaded interpreter.
    `--memory=${memoryMb + 1024}m`,
    '--pids-limit=512',
    // Names of variables in the arguments, values in the environment: arguments can be read by everyone.
    ...Object.keys(environment).map((name) => `--env=${name}`),
    IMAGE,
  ];
  const { PATH = '/usr/local/bin:/usr/bin:/bin', HOME = '/' } = process.env;
  const known = DOCKER_VARIABLES.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []));
  return { command: 'docker', args, env: { PATH, HOME, ...Object.fromEntries(known), ...environment } };
}
