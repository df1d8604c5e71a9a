/** Attribute values as DynamoDB's JSON has them, and what is compared, added and measured of them. */
import * as z from 'zod';
import { AwsError } from '../http.ts';

/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html, of the sets those of texts */
export type AttributeValue =
  | { S: string }
  | { N: string }
  | { B: string }
  | { BOOL: boolean }
  | { NULL: true }
  | { SS: string[] }
  | { L: AttributeValue[] }
  | { M: Item };
export type Item = { [name: string]: AttributeValue };

export const invalid = (message: string) => new AwsError('ValidationException', message);

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

/** By hand: a schema's union tries every type for every value, which is most of what a request would cost. */
function isAttributeValue(value: unknown): value is AttributeValue {
  if (typeof value !== 'object' || value === null) return false;
  const [entry, ...more] = Object.entries(value);
  if (!entry || more.length > 0) return false;
  const [type, content] = entry;
  switch (type) {
    case 'S':
    case 'B':
      return typeof content === 'string';
    case 'N':
      return typeof content === 'string' && NUMBER.test(content);
    case 'BOOL':
      return typeof content === 'boolean';
    case 'NULL':
      return content === true;
    case 'SS':
      return isTextSet(content);
    case 'L':
      return Array.isArray(content) && content.every(isAttributeValue);
    case 'M':
      return isItem(content);
    default:
      return false;
  }
}

/** As DynamoDB has it: not empty, and no text twice. */
const isTextSet = (content: unknown): content is string[] =>
  Array.isArray(content) &&
  content.length > 0 &&
  content.every((text) => typeof text === 'string') &&
  new Set(content).size === content.length;

const isItem = (item: unknown): item is Item =>
  typeof item === 'object' &&
  item !== null &&
  !Array.isArray(item) &&
  Object.values(item).every(isAttributeValue);

export const itemSchema = z.custom<Item>(
  isItem,
  'is not a map of attribute values of the types S, N, B, BOOL, NULL, SS, L and M',
);

/** The type of a value, such as `S`, and what it holds. */
export function typeOf(value: AttributeValue): [type: string, content: unknown] {
  const [entry] = Object.entries(value);
  if (!entry) throw invalid('A value has no type.');
  return entry;
}

export function equal(left: AttributeValue, right: AttributeValue): boolean {
  if ('N' in left && 'N' in right) return Number(left.N) === Number(right.N);
  if ('SS' in left && 'SS' in right)
    return left.SS.length === right.SS.length && left.SS.every((text) => right.SS.includes(text));
  if ('L' in left && 'L' in right)
    return (
      left.L.length === right.L.length &&
      left.L.every((one, index) => {
        const other = right.L[index];
        return other !== undefined && equal(one, other);
      })
    );
  if ('M' in left && 'M' in right) {
    const names = Object.keys(left.M);
    return (
      names.length === Object.keys(right.M).length &&
      names.every((name) => {
        const [one, other] = [left.M[name], right.M[name]];
        return one !== undefined && other !== undefined && equal(one, other);
      })
    );
  }
  const [leftType, leftContent] = typeOf(left);
  const [rightType, rightContent] = typeOf(right);
  return leftType === rightType && leftContent === rightContent;
}

/** Below, at or above zero as `left` sorts before, with or after `right`; undefined where they have no order. */
export function compare(left: AttributeValue, right: AttributeValue): number | undefined {
  if ('N' in left && 'N' in right) return Number(left.N) - Number(right.N);
  if ('S' in left && 'S' in right) return Buffer.compare(Buffer.from(left.S), Buffer.from(right.S));
  if ('B' in left && 'B' in right)
    return Buffer.compare(Buffer.from(left.B, 'base64'), Buffer.from(right.B, 'base64'));
  return undefined;
}

/** The sum of two numbers. A double has fewer digits than DynamoDB's 38, which no counter here comes near. */
export function add(left: AttributeValue, right: AttributeValue, sign: 1 | -1 = 1): AttributeValue {
  if (!('N' in left && 'N' in right))
    throw invalid('An operand in the update expression has an incorrect data type');
  return { N: String(Number(left.N) + sign * Number(right.N)) };
}

/** A number increased, or a set with more texts in it. */
export function increase(left: AttributeValue | undefined, by: AttributeValue): AttributeValue {
  if ('SS' in by && (!left || 'SS' in left)) return { SS: [...new Set([...(left?.SS ?? []), ...by.SS])] };
  return add(left ?? { N: '0' }, by);
}

/** A set with some texts taken out of it; undefined if none are left: there is no empty set. */
export function takeOut(left: AttributeValue | undefined, texts: AttributeValue): AttributeValue | undefined {
  if (!('SS' in texts) || (left && !('SS' in left)))
    throw invalid('An operand in the update expression has an incorrect data type');
  const rest = left?.SS.filter((text) => !texts.SS.includes(text)) ?? [];
  return rest.length > 0 ? { SS: rest } : undefined;
}

/** bytes, about as DynamoDB counts them: names and contents */
export function sizeOf(item: Item): number {
  let size = 0;
  for (const [name, value] of Object.entries(item)) size += Buffer.byteLength(name) + sizeOfValue(value);
  return size;
}

export function sizeOfValue(value: AttributeValue): number {
  if ('S' in value) return Buffer.byteLength(value.S);
  if ('B' in value) return Buffer.byteLength(value.B, 'base64');
  if ('N' in value) return Math.ceil(value.N.length / 2) + 1;
  if ('SS' in value) return value.SS.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if ('L' in value) return value.L.reduce((sum, one) => sum + sizeOfValue(one) + 1, 3);
  if ('M' in value) return 3 + Object.keys(value.M).length + sizeOf(value.M);
  return 1;
}
