/** Synthesizes environments as `cdk synth` does: without an account, without Docker, with a page made for the test. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import type { CloudFormationStackArtifact } from 'aws-cdk-lib/cx-api';
import { root } from '../../infra/bundle.ts';
import { type Environment, environments } from '../../infra/environments.ts';
import { ServiceStage } from '../../infra/stage.ts';

export interface Resource {
  Type: string;
  Properties: Record<string, unknown>;
  DeletionPolicy?: string;
  DependsOn?: string[];
}

export interface Template {
  Resources: Record<string, Resource>;
  Outputs?: Record<string, unknown>;
}

export interface Synthesized {
  environment: Environment;
  stage: ServiceStage;
  service: Template;
  /** The template of the firewall, if there is one. */
  firewall?: Template;
  /** Where the assets are. */
  assembly: string;
}

const folder = mkdtempSync(join(tmpdir(), 'infra-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** A region that is not CloudFront's, so that the firewall is elsewhere. */
const TARGET = { region: 'eu-central-1' };

const known = new Map<Environment['name'], Synthesized>();

/** An environment as it is deployed; the same at every call. */
export function synthesize(name: Environment['name']): Synthesized {
  const synthesized = known.get(name) ?? synthesizeWith(name, {});
  known.set(name, synthesized);
  return synthesized;
}

/** `changed` replaces settings of the environment `name`. */
export function synthesizeWith(name: Environment['name'], changed: Partial<Environment>): Synthesized {
  const found = environments.find((environment) => environment.name === name);
  if (!found) throw new Error(`There is no environment ${name}.`);
  const environment = { ...found, ...changed };
  const site = join(folder, 'page');
  mkdirSync(join(site, 'assets'), { recursive: true });
  writeFileSync(join(site, 'index.html'), '<!doctype html>');
  writeFileSync(join(site, 'assets', 'index-0a1b2c3d.js'), '');

  const { context } = JSON.parse(readFileSync(join(root, 'cdk.json'), 'utf8'));
  const app = new App({ outdir: mkdtempSync(join(folder, 'cdk.out-')), context, analyticsReporting: false });
  const stage = new ServiceStage(app, { environment, target: TARGET, site });
  const { stacks, directory } = stage.synth();
  const template = (id: string) =>
    stacks.find((stack: CloudFormationStackArtifact) => stack.id.includes(id))?.template as Template;
  return {
    environment,
    stage,
    service: template('Service'),
    firewall: environment.firewall ? template('Firewall') : undefined,
    assembly: directory,
  };
}

export function ofType(template: Template, type: string): [id: string, resource: Resource][] {
  return Object.entries(template.Resources).filter(([, resource]) => resource.Type === type);
}

/** Our functions by handler, such as `api/execute`, which is the end of the name of its log group. */
export function functionsOf({ service, environment }: Synthesized): Map<string, { id: string } & Resource> {
  const prefix = `/recursive-ai-executor/${environment.name}/`;
  const found = new Map<string, { id: string } & Resource>();
  for (const [id, resource] of ofType(service, 'AWS::Lambda::Function')) {
    const { LogGroup } = (resource.Properties.LoggingConfig ?? {}) as { LogGroup?: { Ref: string } };
    const name = LogGroup && service.Resources[LogGroup.Ref]?.Properties.LogGroupName;
    if (typeof name === 'string' && /^(api|realtime|states|triggers)\//.test(name.slice(prefix.length))) {
      found.set(name.slice(prefix.length), { id, ...resource });
    }
  }
  return found;
}

/** The folder of a function's code. */
export function assetOf(synthesized: Synthesized, name: string): string {
  const code = functionsOf(synthesized).get(name)?.Properties.Code;
  const { S3Key } = code as { S3Key: string };
  return join(synthesized.assembly, '..', `asset.${S3Key.replace('.zip', '')}`);
}
