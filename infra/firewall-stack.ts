/** The firewall before CloudFront. AWS has those of CloudFront in us-east-1 only, hence a stack of its own. */
import { Stack, type StackProps } from 'aws-cdk-lib';
import * as waf from 'aws-cdk-lib/aws-wafv2';
import type { Construct } from 'constructs';

/** Requests of one address in five minutes. */
const REQUESTS_PER_ADDRESS = 2_000;

export class FirewallStack extends Stack {
  readonly webAclArn: string;

  constructor(scope: Construct, id: string, props: StackProps) {
    super(scope, id, props);
    const visibility = (metricName: string) => ({
      cloudWatchMetricsEnabled: true,
      metricName,
      sampledRequestsEnabled: true,
    });
    // A task is a text about programs, and its tests are one: rules about bodies take them for attacks. So there is no
    // common rule set, which refuses bodies over 8 KB as well, and the known bad inputs are not looked for in tasks.
    const isTask = {
      byteMatchStatement: {
        fieldToMatch: { uriPath: {} },
        positionalConstraint: 'EXACTLY',
        searchString: '/api/execute',
        textTransformations: [{ priority: 0, type: 'NONE' }],
      },
    };
    const managed = [
      { name: 'AWSManagedRulesAmazonIpReputationList' },
      {
        name: 'AWSManagedRulesKnownBadInputsRuleSet',
        scopeDownStatement: { notStatement: { statement: isTask } },
      },
    ];
    const webAcl = new waf.CfnWebACL(this, 'WebAcl', {
      scope: 'CLOUDFRONT',
      defaultAction: { allow: {} },
      visibilityConfig: visibility('all'),
      rules: [
        {
          name: 'requests-per-address',
          priority: 0,
          action: { block: {} },
          statement: { rateBasedStatement: { limit: REQUESTS_PER_ADDRESS, aggregateKeyType: 'IP' } },
          visibilityConfig: visibility('requests-per-address'),
        },
        ...managed.map(({ name, ...scope }, index) => ({
          name,
          priority: index + 1,
          overrideAction: { none: {} },
          statement: { managedRuleGroupStatement: { vendorName: 'AWS', name, ...scope } },
          visibilityConfig: visibility(name),
        })),
      ],
    });
    this.webAclArn = webAcl.attrArn;
  }
}
