/** The table and the bucket of the local runtime, made through the SDK as anyone would. */
import {
  CreateTableCommand,
  DescribeTimeToLiveCommand,
  ResourceInUseException,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb';
import { BucketAlreadyOwnedByYou, CreateBucketCommand } from '@aws-sdk/client-s3';
import type { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb';
import { table } from '../functions/service/table.ts';

/** Makes what is not there yet. */
export async function createStorage(tableName: string, bucketName: string): Promise<void> {
  const { dynamodb: client, s3 } = await import('../functions/service/aws.ts');
  await unlessItExists(createTable(client, tableName));
  // A table is of use only when it is active, which comes a moment after the answer.
  await waitUntilTableExists(
    { client, maxWaitTime: 30, minDelay: 0.02, maxDelay: 0.5 },
    { TableName: tableName },
  );
  await enableTimeToLive(client, tableName);
  await unlessItExists(s3.send(new CreateBucketCommand({ Bucket: bucketName })));
}

function createTable(client: DynamoDBDocumentClient, tableName: string) {
  const { partitionKey, sortKey, indexes } = table;
  const keys = [{ partitionKey, sortKey }, ...indexes];
  return client.send(
    new CreateTableCommand({
      TableName: tableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: keys.flatMap((key) => [
        { AttributeName: key.partitionKey, AttributeType: 'S' },
        { AttributeName: key.sortKey, AttributeType: 'S' },
      ]),
      KeySchema: keySchema({ partitionKey, sortKey }),
      GlobalSecondaryIndexes: indexes.map((index) => ({
        IndexName: index.name,
        KeySchema: keySchema(index),
        Projection: { ProjectionType: 'ALL' },
      })),
    }),
  );
}

async function enableTimeToLive(client: DynamoDBDocumentClient, TableName: string): Promise<void> {
  const { TimeToLiveDescription } = await client.send(new DescribeTimeToLiveCommand({ TableName }));
  if (TimeToLiveDescription?.TimeToLiveStatus === 'ENABLED') return;
  const TimeToLiveSpecification = { AttributeName: table.timeToLive, Enabled: true };
  await client.send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification }));
}

const keySchema = (key: { partitionKey: string; sortKey: string }) => [
  { AttributeName: key.partitionKey, KeyType: 'HASH' as const },
  { AttributeName: key.sortKey, KeyType: 'RANGE' as const },
];

async function unlessItExists(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (!(error instanceof ResourceInUseException || error instanceof BucketAlreadyOwnedByYou)) throw error;
  }
}
