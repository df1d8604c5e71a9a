/** What is kept: the table, the files (mailboxes, code, output, artifacts), and the access logs of both buckets. */
import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { RESUMABLE_DAYS } from '../../functions/execution/attempts.ts';
import { table } from '../../functions/service/table.ts';
import type { Environment } from '../environments.ts';

/** What all our buckets have in common: nobody but us, TLS only, encrypted. */
export const privateBucket = {
  blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
  encryption: s3.BucketEncryption.S3_MANAGED,
  enforceSSL: true,
  minimumTLSVersion: 1.2,
} satisfies s3.BucketProps;

export class Storage extends Construct {
  readonly table: dynamodb.Table;
  /** Keys: see functions/sandbox/mailbox.ts and texts.ts. */
  readonly files: s3.Bucket;
  /** Access logs, by prefix. */
  readonly logs: s3.Bucket;

  constructor(scope: Construct, { keepsData, retentionDays, logRetention }: Environment) {
    super(scope, 'Storage');
    // An execution shows files of the one that it goes on from, which is so much older; and a day to be sure.
    const files = Duration.days(retentionDays + RESUMABLE_DAYS + 1);
    const removalPolicy = keepsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;

    const attribute = (name: string) => ({ name, type: dynamodb.AttributeType.STRING });
    this.table = new dynamodb.Table(this, 'Table', {
      partitionKey: attribute(table.partitionKey),
      sortKey: attribute(table.sortKey),
      timeToLiveAttribute: table.timeToLive,
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: keepsData },
      deletionProtection: keepsData,
      removalPolicy,
    });
    for (const { name, partitionKey, sortKey } of table.indexes) {
      this.table.addGlobalSecondaryIndex({
        indexName: name,
        partitionKey: attribute(partitionKey),
        sortKey: attribute(sortKey),
      });
    }

    this.logs = new s3.Bucket(this, 'Logs', {
      ...privateBucket,
      // CloudFront writes its logs with an ACL.
      objectOwnership: s3.ObjectOwnership.OBJECT_WRITER,
      lifecycleRules: [{ expiration: Duration.days(logRetention) }],
      removalPolicy,
      autoDeleteObjects: !keepsData,
    });

    this.files = new s3.Bucket(this, 'Files', {
      ...privateBucket,
      serverAccessLogsBucket: this.logs,
      serverAccessLogsPrefix: 'files/',
      lifecycleRules: [
        { prefix: 'manifests/', expiration: Duration.days(1) },
        { prefix: 'jobs/', expiration: Duration.days(1) },
        { prefix: 'mailbox/', expiration: files },
        { prefix: 'executions/', expiration: files },
        { abortIncompleteMultipartUploadAfter: Duration.days(1) },
      ],
      removalPolicy,
      autoDeleteObjects: !keepsData,
    });

    Validations.of(this.logs).acknowledge({
      id: 'AwsSolutions-S1',
      reason: 'This bucket holds the access logs; logging its own writes would never end.',
    });
    if (!keepsData) {
      Validations.of(this.table).acknowledge({
        id: 'AwsSolutions-DDB3',
        reason: 'The data of this environment may be lost: it is made for trying out.',
      });
    }
  }
}
