/**
 * Objects in files: one file each, its first line the metadata as JSON, then the content. Writing is a rename, so a
 * reader sees an object whole or not at all, whenever the process is killed.
 *
 * The file of the key `a/b.txt` is `{folder}/{bucket}/a/b.txt@`. `@` and `+` never come out of the encoding of a key,
 * so that `a` (the file `a@`) and `a/b` (a file in the folder `a`) exist side by side, and no key leaves the folder.
 *
 * All file access is synchronous: objects are small, and so every operation is atomic within the process.
 */
import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

export interface ObjectMetadata {
  /** MD5 of the content in quotes, as S3 has it. */
  etag: string;
  /** bytes */
  size: number;
  /** Milliseconds since the epoch. */
  modified: number;
  /** The response headers stored with it: content-type, content-disposition, x-amz-meta-* … */
  headers: Record<string, string>;
}

export interface StoredObject extends ObjectMetadata {
  content: Buffer;
}

/** A file name has at most 255 bytes. */
const MAX_NAME = 200;
const METADATA_READ = 16 * 1024;

/** One that an accident has damaged (cut, overwritten) counts as not there: it can be written anew. */
export class ObjectStore {
  readonly #folder: string;
  readonly #incoming: string;

  constructor(folder: string) {
    this.#folder = folder;
    // Not a bucket's name, and on the same file system, as renaming demands.
    this.#incoming = path.join(folder, '.incoming');
    fs.rmSync(this.#incoming, { recursive: true, force: true });
    fs.mkdirSync(this.#incoming, { recursive: true });
  }

  createBucket(bucket: string): void {
    fs.mkdirSync(path.join(this.#folder, bucket), { recursive: true });
  }

  hasBucket(bucket: string): boolean {
    return fs.existsSync(path.join(this.#folder, bucket));
  }

  put(bucket: string, key: string, content: Buffer, headers: Record<string, string>): ObjectMetadata {
    const etag = `"${createHash('md5').update(content).digest('hex')}"`;
    const metadata: ObjectMetadata = { etag, size: content.length, modified: Date.now(), headers };
    const incoming = path.join(this.#incoming, randomUUID());
    try {
      fs.writeFileSync(incoming, Buffer.concat([Buffer.from(`${JSON.stringify(metadata)}\n`), content]));
      moveFile(incoming, this.#file(bucket, key));
    } catch (error) {
      // What was written of it would take the room that is missing.
      fs.rmSync(incoming, { force: true });
      throw error;
    }
    return metadata;
  }

  /** Writes as much as a small object has, and keeps nothing of it. Throws if the disk does not take it. */
  tryWrite(): void {
    const incoming = path.join(this.#incoming, randomUUID());
    try {
      fs.writeFileSync(incoming, Buffer.alloc(100_000));
    } finally {
      fs.rmSync(incoming, { force: true });
    }
  }

  get(bucket: string, key: string): StoredObject | undefined {
    const bytes = unlessMissing(() => fs.readFileSync(this.#file(bucket, key)));
    const start = bytes && parseStart(bytes, bytes.length);
    return start && { ...start.metadata, content: bytes.subarray(start.length) };
  }

  head(bucket: string, key: string): ObjectMetadata | undefined {
    return unlessMissing(() => readMetadata(this.#file(bucket, key)));
  }

  delete(bucket: string, key: string): void {
    const file = this.#file(bucket, key);
    const existed = unlessMissing(() => {
      fs.unlinkSync(file);
      return true;
    });
    const root = path.join(this.#folder, bucket);
    let folder = path.dirname(file);
    while (existed && folder !== root && fs.readdirSync(folder).length === 0) {
      fs.rmdirSync(folder);
      folder = path.dirname(folder);
    }
  }

  /** The keys with the prefix, in S3's order (by bytes). */
  keys(bucket: string, prefix: string): string[] {
    const root = path.join(this.#folder, bucket);
    const lastSlash = prefix.lastIndexOf('/');
    const start =
      lastSlash < 0 ? root : path.join(root, ...prefix.slice(0, lastSlash).split('/').map(encodeSegment));
    const files = unlessMissing(() => fs.readdirSync(start, { recursive: true, withFileTypes: true })) ?? [];
    return files
      .filter((entry) => entry.isFile())
      .map((entry) => decodePath(path.relative(root, path.join(entry.parentPath, entry.name))))
      .filter((key) => key.startsWith(prefix))
      .map((key) => Buffer.from(key))
      .sort(Buffer.compare)
      .map(String);
  }

  #file(bucket: string, key: string): string {
    return `${path.join(this.#folder, bucket, ...key.split('/').map(encodeSegment))}@`;
  }
}

/** One segment of a key as the path of nested folders where it is too long for one name; never `.`, `..` or empty. */
function encodeSegment(segment: string): string {
  if (segment === '') return '%';
  const encoded = encodeURIComponent(segment).replace(/^\.+$/, (dots) => dots.replaceAll('.', '%2E'));
  return (encoded.match(new RegExp(`.{1,${MAX_NAME}}`, 'g')) ?? []).join(`+${path.sep}`);
}

function decodePath(relative: string): string {
  return relative
    .slice(0, -'@'.length)
    .replaceAll(`+${path.sep}`, '')
    .split(path.sep)
    .map((segment) => (segment === '%' ? '' : decodeURIComponent(segment)))
    .join('/');
}

function readMetadata(file: string): ObjectMetadata | undefined {
  const descriptor = fs.openSync(file, 'r');
  try {
    const start = Buffer.alloc(METADATA_READ);
    const length = fs.readSync(descriptor, start, 0, METADATA_READ, 0);
    return parseStart(start.subarray(0, length), fs.fstatSync(descriptor).size)?.metadata;
  } finally {
    fs.closeSync(descriptor);
  }
}

/** The line that a file of `size` bytes begins with; undefined if it is none, or the file does not have the size it says. */
function parseStart(start: Buffer, size: number): { metadata: ObjectMetadata; length: number } | undefined {
  const length = start.indexOf('\n') + 1;
  try {
    const metadata = JSON.parse(start.toString('utf8', 0, length)) as ObjectMetadata;
    return length + metadata.size === size ? { metadata, length } : undefined;
  } catch {
    return undefined;
  }
}

/** Into a folder that is made if it is not there yet. */
function moveFile(from: string, to: string): void {
  try {
    fs.renameSync(from, to);
  } catch (error) {
    if (!isMissing(error)) throw error;
    fs.mkdirSync(path.dirname(to), { recursive: true });
    fs.renameSync(from, to);
  }
}

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
