/** What a sandbox is on this machine, asked of the sandbox program itself. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import { ConfigurationError } from '../functions/service/errors.ts';
import { checkDocker, dockerCommand, type SandboxLauncher } from './aws/ecs.ts';

const schema = z.object({
  /** Layer by layer. */
  isolation: z.record(z.string(), z.string()),
  /** Version of the Python that runs programs. */
  python: z.string(),
  /** Version by name of each package that programs may import. */
  packages: z.record(z.string(), z.string()),
});
export type SandboxDescription = z.infer<typeof schema>;

/** @throws ConfigurationError that says what to do if sandboxes cannot be started here, or not be confined. */
export async function describeSandbox(launcher: SandboxLauncher): Promise<SandboxDescription> {
  if (launcher.kind === 'docker') {
    await checkDocker(launcher.image);
    const { command, args, env } = dockerCommand('sandbox-described', launcher.image, {});
    const described = await describe(command, [...args, '-m', 'sandbox', '--describe'], { env });
    return { ...described, isolation: { container: 'docker', ...described.isolation } };
  }
  const { command = 'python3', cwd, confinement } = launcher;
  const env = { ...process.env, SANDBOX_CONFINEMENT: confinement };
  const described = await describe(command, ['-m', 'sandbox', '--describe'], { cwd, env });
  const { seccomp, landlock, uid } = described.isolation;
  if (confinement === 'required' && !seccomp?.startsWith('on')) {
    throw new ConfigurationError(
      `Programs cannot be confined here: seccomp is ${seccomp}. Install libseccomp (Debian: apt-get install ` +
        'libseccomp2), or use SANDBOX=docker, or accept the risk with SANDBOX=unconfined.',
    );
  }
  if (confinement === 'required' && !landlock?.startsWith('on') && !uid?.startsWith('separate')) {
    throw new ConfigurationError(
      `Programs could read and change your files here: landlock is ${landlock}. Use SANDBOX=docker, or start as root, ` +
        'so that programs get a user of their own, or accept the risk with SANDBOX=unconfined.',
    );
  }
  return described;
}

async function describe(
  command: string,
  args: string[],
  options: { cwd?: string; env: NodeJS.ProcessEnv },
): Promise<SandboxDescription> {
  const { stdout } = await promisify(execFile)(command, args, options).catch((error) => {
    const said = String(error.stderr || error.message).trim();
    throw new ConfigurationError(`The sandbox program does not run here: ${said}`, { cause: error });
  });
  return schema.parse(JSON.parse(stdout));
}
