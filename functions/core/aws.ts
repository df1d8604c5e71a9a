/** The SDK clients. Where they go is the SDK's own configuration (AWS_ENDPOINT_URL, AWS_REGION …), never ours. */
import { ApiGatewayManagementApiClient } from '@aws-sdk/client-apigatewaymanagementapi';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { ECSClient } from '@aws-sdk/client-ecs';
import { S3Client } from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb';

export const dynamodb = DynamoDBDocumentClient.from(new DynamoDBClient(), {
  marshallOptions: { removeUndefinedValues: true },
});
// Checksums only where S3 demands them: a presigned URL must not promise one that its user does not send.
export const s3 = new S3Client({ requestChecksumCalculation: 'WHEN_REQUIRED' });
export const stepFunctions = new SFNClient();
export const ecs = new ECSClient();
export const connections = new ApiGatewayManagementApiClient();
