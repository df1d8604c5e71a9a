/** What a request may hold. Anything else in it is refused by its name. */
import * as z from 'zod';
import { type Item, itemSchema } from './values.ts';

/** Writes of one transaction. */
const MAX_TRANSACTION = 100;

export const tableName = z
  .string()
  .regex(/^[\w.-]{3,255}$/, 'must have 3 to 255 letters, digits, _, - and .');
const names = z.record(z.string().regex(/^#[\w-]+$/, 'must begin with #'), z.string()).optional();
const values = z.custom<Item>(
  (given) =>
    itemSchema.safeParse(given).success && Object.keys(given as object).every((one) => /^:[\w-]+$/.test(one)),
  'is not a map of attribute values whose names begin with :',
);
const expressionParts = {
  ExpressionAttributeNames: names,
  ExpressionAttributeValues: values.optional(),
};
const condition = { ConditionExpression: z.string().optional(), ...expressionParts };
const onFailure = { ReturnValuesOnConditionCheckFailure: z.enum(['NONE', 'ALL_OLD']).optional() };

export const put = z.strictObject({ TableName: tableName, Item: itemSchema, ...condition, ...onFailure });
export const remove = z.strictObject({ TableName: tableName, Key: itemSchema, ...condition, ...onFailure });
export const update = z.strictObject({
  TableName: tableName,
  Key: itemSchema,
  UpdateExpression: z.string(),
  ...condition,
  ...onFailure,
});
export const check = z.strictObject({
  TableName: tableName,
  Key: itemSchema,
  ConditionExpression: z.string(),
  ...expressionParts,
  ...onFailure,
});
export const get = z.strictObject({
  TableName: tableName,
  Key: itemSchema,
  ConsistentRead: z.boolean().optional(),
  ProjectionExpression: z.string().optional(),
  ExpressionAttributeNames: names,
});
const page = {
  TableName: tableName,
  IndexName: z.string().optional(),
  FilterExpression: z.string().optional(),
  ProjectionExpression: z.string().optional(),
  ...expressionParts,
  ConsistentRead: z.boolean().optional(),
  Select: z.enum(['ALL_ATTRIBUTES', 'COUNT']).optional(),
  Limit: z.int().min(1).optional(),
  ExclusiveStartKey: itemSchema.optional(),
};
export const query = z.strictObject({
  ...page,
  KeyConditionExpression: z.string(),
  ScanIndexForward: z.boolean().optional(),
});
export const scan = z.strictObject(page);

export const transaction = z.strictObject({
  TransactItems: z
    .array(
      z.strictObject({
        Put: put.optional(),
        Delete: remove.optional(),
        Update: update.optional(),
        ConditionCheck: check.optional(),
      }),
    )
    .min(1)
    .max(MAX_TRANSACTION),
  ClientRequestToken: z.string().min(1).max(36).optional(),
});

export const keySchema = z
  .array(z.strictObject({ AttributeName: z.string(), KeyType: z.enum(['HASH', 'RANGE']) }))
  .min(1)
  .max(2);
export const createTable = z.strictObject({
  TableName: tableName,
  BillingMode: z.literal('PAY_PER_REQUEST'),
  AttributeDefinitions: z.array(
    z.strictObject({ AttributeName: z.string(), AttributeType: z.literal('S', 'must be S here') }),
  ),
  KeySchema: keySchema,
  GlobalSecondaryIndexes: z
    .array(
      z.strictObject({
        IndexName: tableName,
        KeySchema: keySchema,
        Projection: z.strictObject({ ProjectionType: z.literal('ALL', 'must be ALL here') }),
      }),
    )
    .optional(),
});

export type Write =
  | { put: z.infer<typeof put> }
  | { remove: z.infer<typeof remove> }
  | { update: z.infer<typeof update> }
  | { check: z.infer<typeof check> };
