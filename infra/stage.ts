import { join } from 'node:path';
import { Stage, Tags, type Environment as Target } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { root } from './bundle.ts';
import type { Environment } from './environments.ts';
import { FirewallStack } from './firewall-stack.ts';
import { ServiceStack } from './service-stack.ts';

export interface ServiceStageProps {
  environment: Environment;
  target: Target;
  /** @default web/dist */
  site?: string;
  /** @default sandbox-image */
  image?: string;
}

/** One environment: its stacks, all that is in them tagged with it. */
export class ServiceStage extends Stage {
  readonly service: ServiceStack;

  constructor(scope: Construct, { environment, target, site, image }: ServiceStageProps) {
    super(scope, environment.name, { env: target });
    const firewall = environment.firewall
      ? new FirewallStack(this, 'Firewall', {
          stackName: `recursive-ai-executor-${environment.name}-firewall`,
          env: { ...target, region: 'us-east-1' },
          crossRegionReferences: true,
        })
      : undefined;
    this.service = new ServiceStack(this, 'Service', {
      stackName: `recursive-ai-executor-${environment.name}`,
      environment,
      site: site ?? join(root, 'web', 'dist'),
      image: image ?? join(root, 'sandbox-image'),
      firewall: firewall?.webAclArn,
      crossRegionReferences: environment.firewall,
      terminationProtection: environment.keepsData,
    });
    Tags.of(this).add('application', 'recursive-ai-executor');
    Tags.of(this).add('environment', environment.name);
  }
}
