/**
 * The SDK clients. Where they go is the SDK's own configuration (AWS_ENDPOINT_URL, AWS_REGION …), never ours. Marked
 * as pure, so that a function's bundle holds only those that it uses.
 */
import { ApiGatewayManagementApiClient } from '@aws-sdk/client-apigatewaymanagementapi';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { ECSClient } from '@aws-sdk/client-ecs';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { S3Client } from '@aws-sdk/client-s3';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SFNClient } from '@aws-sdk/client-sfn';
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb';

export const dynamodb = /* @__PURE__ */ DynamoDBDocumentClient.from(/* @__PURE__ */ new DynamoDBClient(), {
  marshallOptions: { removeUndefinedValues: true },
});
// Checksums only where S3 demands them: a presigned URL must not promise one that its user does not send.
export const s3 = /* @__PURE__ */ new S3Client({ requestChecksumCalculation: 'WHEN_REQUIRED' });
export const stepFunctions = /* @__PURE__ */ new SFNClient();
export const ecs = /* @__PURE__ */ new ECSClient();
export const lambda = /* @__PURE__ */ new LambdaClient();
export const connections = /* @__PURE__ */ new ApiGatewayManagementApiClient();
export const secretsManager = /* @__PURE__ */ new SecretsManagerClient();
