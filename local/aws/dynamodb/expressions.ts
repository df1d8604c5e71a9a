/**
 * DynamoDB's expressions: parsed once, then applied to items.
 *
 *   condition   a = :v · <> < <= > >= · BETWEEN … AND … · IN (…) · AND OR NOT ( ) · attribute_exists(a)
 *               attribute_not_exists(a) · begins_with(a, :v) · contains(a, :v) · size(a)
 *   update      SET a = :v, b = b + :n, c = if_not_exists(c, :v) REMOVE d ADD e :n, f :set DELETE f :set
 *   projection  a, #b, c.d
 *
 * Paths lead through maps (`a.#b`). Elements of lists, `attribute_type` and `list_append` are refused by name:
 * nothing here uses them. What DynamoDB refuses is refused too: reserved words, names and values that are missing or not used.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
 */
import { RESERVED_WORDS } from './reserved-words.ts';
import {
  type AttributeValue,
  add,
  compare,
  equal,
  type Item,
  increase,
  invalid,
  sizeOfValue,
  takeOut,
  typeOf,
} from './values.ts';

/** What `#names` and `:values` stand for; remembers which of them an expression used. */
export class Placeholders {
  readonly #names: Record<string, string>;
  readonly #values: Item;
  readonly #used = new Set<string>();

  constructor(names: Record<string, string> = {}, values: Item = {}) {
    this.#names = names;
    this.#values = values;
  }

  name(placeholder: string): string {
    this.#used.add(placeholder);
    const name = Object.hasOwn(this.#names, placeholder) ? this.#names[placeholder] : undefined;
    if (name === undefined)
      throw invalid(
        `An expression attribute name used in the document path is not defined; attribute name: ${placeholder}`,
      );
    return name;
  }

  value(placeholder: string): AttributeValue {
    this.#used.add(placeholder);
    const value = Object.hasOwn(this.#values, placeholder) ? this.#values[placeholder] : undefined;
    if (value === undefined)
      throw invalid(
        `An expression attribute value used in expression is not defined; attribute value: ${placeholder}`,
      );
    return value;
  }

  /** To be called when all expressions of a request are parsed. */
  refuseUnused(): void {
    const unused = (all: object) => Object.keys(all).filter((one) => !this.#used.has(one));
    const names = unused(this.#names);
    if (names.length > 0)
      throw invalid(
        `Value provided in ExpressionAttributeNames unused in expressions: keys: {${names.join(', ')}}`,
      );
    const values = unused(this.#values);
    if (values.length > 0)
      throw invalid(
        `Value provided in ExpressionAttributeValues unused in expressions: keys: {${values.join(', ')}}`,
      );
  }
}

type Path = string[];
type Operand = (item: Item) => AttributeValue | undefined;
export type Condition = (item: Item) => boolean;
/** Gives the item as it is afterwards; the one it is given stays as it is. */
export type Update = (item: Item) => Item;

export function parseCondition(text: string, placeholders: Placeholders): Condition {
  const parser = new Parser('ConditionExpression', text, placeholders);
  const condition = parser.condition();
  parser.end();
  return condition;
}

export function parseUpdate(text: string, placeholders: Placeholders): { apply: Update; paths: Path[] } {
  return new Parser('UpdateExpression', text, placeholders).update();
}

export function parseProjection(text: string, placeholders: Placeholders): (item: Item) => Item {
  const parser = new Parser('ProjectionExpression', text, placeholders);
  const paths = parser.list(() => parser.path());
  parser.end();
  return (item) => {
    let projected: Item = {};
    for (const path of paths) {
      const value = read(item, path);
      if (value) projected = write(projected, path, value, { makeMaps: true });
    }
    return projected;
  };
}

/** The terms that AND joins. */
export function parseKeyCondition(text: string, placeholders: Placeholders): KeyTerm[] {
  const parser = new Parser('KeyConditionExpression', text, placeholders);
  const terms = parser.keyTerms();
  parser.end();
  return terms;
}

/** One comparison of a key attribute with values. */
export interface KeyTerm {
  name: string;
  operator: string;
  values: AttributeValue[];
}

const COMPARATORS: Record<string, (order: number) => boolean> = {
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

const TOKEN = /\s*(#[\w-]+|:[\w-]+|[A-Za-z_][\w-]*|<>|<=|>=|[=<>(),.+\-[\]]|\d+)/y;

class Parser {
  readonly #kind: string;
  readonly #tokens: string[] = [];
  readonly #placeholders: Placeholders;
  #at = 0;

  constructor(kind: string, text: string, placeholders: Placeholders) {
    this.#kind = kind;
    this.#placeholders = placeholders;
    TOKEN.lastIndex = 0;
    const end = text.trimEnd().length;
    if (end === 0) throw invalid(`Invalid ${kind}: The expression can not be empty;`);
    while (TOKEN.lastIndex < end) {
      const from = TOKEN.lastIndex;
      const found = TOKEN.exec(text);
      if (!found?.[1]) throw this.#syntaxError(text.slice(from).trim().slice(0, 20));
      this.#tokens.push(found[1]);
    }
  }

  end(): void {
    if (this.#peek() !== undefined) throw this.#syntaxError(this.#peek());
  }

  list<T>(one: () => T): T[] {
    const all = [one()];
    while (this.#take(',')) all.push(one());
    return all;
  }

  condition(): Condition {
    const any = [this.#conjunction()];
    while (this.#takeWord('OR')) any.push(this.#conjunction());
    return any.length === 1 && any[0] ? any[0] : (item) => any.some((one) => one(item));
  }

  #conjunction(): Condition {
    const all = [this.#negation()];
    while (this.#takeWord('AND')) all.push(this.#negation());
    return all.length === 1 && all[0] ? all[0] : (item) => all.every((one) => one(item));
  }

  #negation(): Condition {
    if (!this.#takeWord('NOT')) return this.#predicate();
    const condition = this.#negation();
    return (item) => !condition(item);
  }

  #predicate(): Condition {
    if (this.#take('(')) {
      const inner = this.condition();
      this.#expect(')');
      return inner;
    }
    const name = this.#peek() ?? '';
    if (this.#peek(1) === '(' && name !== 'size') {
      this.#at += 2;
      const test = this.#function(name);
      this.#expect(')');
      return test;
    }
    return this.#comparison();
  }

  #function(name: string): Condition {
    if (name === 'attribute_exists' || name === 'attribute_not_exists') {
      const path = this.path();
      const wanted = name === 'attribute_exists';
      return (item) => (read(item, path) !== undefined) === wanted;
    }
    if (name === 'begins_with' || name === 'contains') {
      const operand = this.#operand();
      this.#expect(',');
      const searched = this.#operand();
      return (item) => {
        const [value, part] = [operand(item), searched(item)];
        if (!value || !part) return false;
        if ('S' in value && 'S' in part)
          return name === 'contains' ? value.S.includes(part.S) : value.S.startsWith(part.S);
        if (name === 'contains' && 'SS' in value && 'S' in part) return value.SS.includes(part.S);
        return name === 'contains' && 'L' in value && value.L.some((one) => equal(one, part));
      };
    }
    throw this.#notSupported(`the function ${name}`);
  }

  #comparison(): Condition {
    const left = this.#operand();
    if (this.#takeWord('BETWEEN')) {
      const from = this.#operand();
      this.#expectWord('AND');
      const to = this.#operand();
      return (item) => {
        const [value, low, high] = [left(item), from(item), to(item)];
        return (
          value !== undefined &&
          low !== undefined &&
          high !== undefined &&
          (compare(value, low) ?? -1) >= 0 &&
          (compare(value, high) ?? 1) <= 0
        );
      };
    }
    if (this.#takeWord('IN')) {
      this.#expect('(');
      const all = this.list(() => this.#operand());
      this.#expect(')');
      return (item) => {
        const value = left(item);
        return (
          value !== undefined &&
          all.some((one) => {
            const other = one(item);
            return other !== undefined && equal(value, other);
          })
        );
      };
    }
    const operator = this.#next();
    const right = this.#operand();
    const fits = COMPARATORS[operator];
    if (!fits && operator !== '=' && operator !== '<>') throw this.#syntaxError(operator);
    return (item) => {
      const [value, other] = [left(item), right(item)];
      if (operator === '<>') return !(value && other && equal(value, other));
      if (!value || !other) return false;
      if (!fits) return equal(value, other);
      const order = compare(value, other);
      return order !== undefined && fits(order);
    };
  }

  #operand(): Operand {
    const token = this.#peek() ?? '';
    if (token.startsWith(':')) {
      const value = this.#placeholders.value(this.#next());
      return () => value;
    }
    if (token === 'size' && this.#peek(1) === '(') {
      this.#at += 2;
      const path = this.path();
      this.#expect(')');
      return (item) => {
        const value = read(item, path);
        return value && { N: String(countOf(value)) };
      };
    }
    const path = this.path();
    return (item) => read(item, path);
  }

  path(): Path {
    const path = [this.#name()];
    while (this.#take('.')) path.push(this.#name());
    if (this.#peek() === '[') throw this.#notSupported('an element of a list');
    return path;
  }

  #name(): string {
    const token = this.#next();
    if (token.startsWith('#')) return this.#placeholders.name(token);
    if (!/^[A-Za-z_]/.test(token)) throw this.#syntaxError(token);
    if (RESERVED_WORDS.has(token.toUpperCase()))
      throw invalid(
        `Invalid ${this.#kind}: Attribute name is a reserved keyword; reserved keyword: ${token}`,
      );
    return token;
  }

  update(): { apply: Update; paths: Path[] } {
    const paths: Path[] = [];
    const changes: ((before: Item, item: Item) => Item)[] = [];
    const target = () => {
      const path = this.path();
      const overlaps = (other: Path) =>
        path.slice(0, other.length).every((name, index) => name === other[index]) ||
        other.slice(0, path.length).every((name, index) => name === path[index]);
      if (paths.some(overlaps))
        throw invalid(
          `Invalid UpdateExpression: Two document paths overlap with each other; path: [${path.join(', ')}]`,
        );
      paths.push(path);
      return path;
    };
    const clauses = new Set<string>();
    while (this.#peek() !== undefined) {
      const clause = this.#next().toUpperCase();
      if (clauses.has(clause))
        throw invalid(
          `Invalid UpdateExpression: The "${clause}" section can only be used once in an update expression;`,
        );
      clauses.add(clause);
      if (clause === 'SET')
        this.list(() => {
          const path = target();
          this.#expect('=');
          const value = this.#newValue();
          changes.push((before, item) => write(item, path, value(before)));
        });
      else if (clause === 'REMOVE')
        this.list(() => {
          const path = target();
          changes.push((_before, item) => without(item, path));
        });
      else if (clause === 'ADD')
        this.list(() => {
          const path = target();
          const amount = this.#placeholders.value(this.#next());
          if (!('N' in amount || 'SS' in amount))
            throw this.#notSupported(`ADD of a value of type ${typeOf(amount)[0]}`);
          changes.push((before, item) => write(item, path, increase(read(before, path), amount)));
        });
      else if (clause === 'DELETE')
        this.list(() => {
          const path = target();
          const texts = this.#placeholders.value(this.#next());
          changes.push((before, item) => {
            const rest = takeOut(read(before, path), texts);
            return rest ? write(item, path, rest) : without(item, path);
          });
        });
      else throw this.#syntaxError(clause);
    }
    return { apply: (before) => changes.reduce((item, change) => change(before, item), before), paths };
  }

  /** What SET assigns: an operand, or the sum or difference of two. */
  #newValue(): (before: Item) => AttributeValue {
    const left = this.#setOperand();
    const sign = this.#take('+') ? 1 : this.#take('-') ? -1 : undefined;
    if (sign === undefined) return left;
    const right = this.#setOperand();
    return (before) => add(left(before), right(before), sign);
  }

  #setOperand(): (before: Item) => AttributeValue {
    const name = this.#peek() ?? '';
    let operand: Operand;
    if (this.#peek(1) === '(') {
      if (name !== 'if_not_exists') throw this.#notSupported(`the function ${name}`);
      this.#at += 2;
      const path = this.path();
      this.#expect(',');
      const otherwise = this.#operand();
      this.#expect(')');
      operand = (item) => read(item, path) ?? otherwise(item);
    } else operand = this.#operand();
    return (before) => {
      const value = operand(before);
      if (!value)
        throw invalid('The provided expression refers to an attribute that does not exist in the item');
      return value;
    };
  }

  keyTerms(): KeyTerm[] {
    const terms = [this.#keyTerm()];
    while (this.#takeWord('AND')) terms.push(this.#keyTerm());
    return terms;
  }

  #keyTerm(): KeyTerm {
    const value = () => this.#placeholders.value(this.#next());
    if (this.#take('(')) {
      const term = this.#keyTerm();
      this.#expect(')');
      return term;
    }
    if (this.#peek() === 'begins_with' && this.#peek(1) === '(') {
      this.#at += 2;
      const name = this.#name();
      this.#expect(',');
      const prefix = value();
      this.#expect(')');
      return { name, operator: 'begins_with', values: [prefix] };
    }
    const name = this.#name();
    if (this.#takeWord('BETWEEN')) {
      const from = value();
      this.#expectWord('AND');
      return { name, operator: 'BETWEEN', values: [from, value()] };
    }
    const operator = this.#next();
    if (operator !== '=' && !COMPARATORS[operator])
      throw invalid('Invalid operator used in KeyConditionExpression');
    return { name, operator, values: [value()] };
  }

  #peek(ahead = 0): string | undefined {
    return this.#tokens[this.#at + ahead];
  }

  #next(): string {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw this.#syntaxError('<EOF>');
    return token;
  }

  #take(token: string): boolean {
    if (this.#peek() !== token) return false;
    this.#at++;
    return true;
  }

  #takeWord(word: string): boolean {
    if (this.#peek()?.toUpperCase() !== word) return false;
    this.#at++;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw this.#syntaxError(this.#peek());
  }

  #expectWord(word: string): void {
    if (!this.#takeWord(word)) throw this.#syntaxError(this.#peek());
  }

  #syntaxError(token = '<EOF>') {
    return invalid(`Invalid ${this.#kind}: Syntax error; token: "${token}"`);
  }

  #notSupported(what: string) {
    return invalid(`Invalid ${this.#kind}: ${what} is not supported here.`);
  }
}

function read(item: Item, path: Path): AttributeValue | undefined {
  let value: AttributeValue | undefined = { M: item };
  for (const name of path)
    value = value && 'M' in value && Object.hasOwn(value.M, name) ? value.M[name] : undefined;
  return value;
}

/** The item with a value at a path. All but the last step must be there, unless `makeMaps`. */
function write(item: Item, path: Path, value: AttributeValue, { makeMaps = false } = {}): Item {
  const [name = '', ...rest] = path;
  if (rest.length === 0) return { ...item, [name]: value };
  const inner = Object.hasOwn(item, name) ? item[name] : undefined;
  const map = inner && 'M' in inner ? inner.M : makeMaps ? {} : undefined;
  if (!map) throw invalid('The document path provided in the update expression is invalid for update');
  return { ...item, [name]: { M: write(map, rest, value, { makeMaps }) } };
}

function without(item: Item, path: Path): Item {
  const [name = '', ...rest] = path;
  if (rest.length === 0) {
    const { [name]: _removed, ...others } = item;
    return others;
  }
  const inner = Object.hasOwn(item, name) ? item[name] : undefined;
  if (!inner || !('M' in inner))
    throw invalid('The document path provided in the update expression is invalid for update');
  return { ...item, [name]: { M: without(inner.M, rest) } };
}

/** What `size()` gives: characters, bytes or elements. */
function countOf(value: AttributeValue): number {
  if ('S' in value) return value.S.length;
  if ('SS' in value) return value.SS.length;
  if ('L' in value) return value.L.length;
  if ('M' in value) return Object.keys(value.M).length;
  return sizeOfValue(value);
}
