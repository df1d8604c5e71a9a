/** Prints the flags that give `docker run` what the task definition of `prod` gives a sandbox on Fargate, one a line. */
import { ofType, synthesize } from '../infra/synthesize.ts';

interface TaskDefinition {
  Cpu: string;
  Memory: string;
  ContainerDefinitions: {
    ReadonlyRootFilesystem: boolean;
    MountPoints: { ContainerPath: string; ReadOnly: boolean }[];
    Environment: { Name: string; Value: string }[];
    LinuxParameters: {
      InitProcessEnabled: boolean;
      Capabilities: { Add?: string[]; Drop: string[] };
      Tmpfs: { ContainerPath: string; Size: number; MountOptions: string[] }[];
    };
  }[];
}

/** Fargate sets no such limit; here it guards this machine. */
const PIDS = 512;

const definitions = ofType(synthesize('prod').service, 'AWS::ECS::TaskDefinition');
const [definition] = definitions.map(([, { Properties }]) => Properties as unknown as TaskDefinition);
const container = definition?.ContainerDefinitions[0];
if (!container) throw new Error('The template has no task definition with a container.');
const { Cpu, Memory } = definition;
const { InitProcessEnabled, Capabilities, Tmpfs } = container.LinuxParameters;

const flags = [
  `--cpus=${Number(Cpu) / 1024}`,
  `--memory=${Memory}m`,
  `--memory-swap=${Memory}m`,
  `--pids-limit=${PIDS}`,
  ...(InitProcessEnabled ? ['--init'] : []),
  ...(container.ReadonlyRootFilesystem ? ['--read-only'] : []),
  ...Capabilities.Drop.map((capability) => `--cap-drop=${capability}`),
  ...(Capabilities.Add ?? []).map((capability) => `--cap-add=${capability}`),
  ...Tmpfs.map(
    ({ ContainerPath, Size, MountOptions }) =>
      `--tmpfs=${ContainerPath}:size=${Size}m,${MountOptions.join(',')}`,
  ),
  ...container.MountPoints.map(
    ({ ContainerPath, ReadOnly }) => `--volume=${ContainerPath}${ReadOnly ? ':ro' : ''}`,
  ),
  ...container.Environment.map(({ Name, Value }) => `--env=${Name}=${Value}`),
];
process.stdout.write(`${flags.join('\n')}\n`);
