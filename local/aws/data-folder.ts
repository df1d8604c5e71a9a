/**
 * The folder that holds all that lasts.
 *
 *   state.sqlite       DynamoDB's tables, Step Functions' executions, ECS's tasks (`database.ts`)
 *   s3/                objects (`object-store.ts`)
 *   credentials.json   of the local endpoint
 *   sandboxes/         the working folders of sandboxes, made and removed by them
 *   set-aside-{time}/  what could not be read: never deleted, and not in the way
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { ConfigurationError } from '../../functions/service/errors.ts';
import { Database, storageFailure } from './database.ts';
import type { Credentials } from './sigv4.ts';

export interface DataFolder {
  database: Database;
  credentials: Credentials;
  /** What was found that could not be read, a sentence each. */
  notices: string[];
}

/** What earlier versions kept in files of their own; it belongs together. */
const EARLIER_FORMAT = ['dynamodb', 'step-functions', 'ecs.json', 's3'];

/**
 * Opens the folder, or makes it.
 * @throws ConfigurationError if it cannot be written, is in use by another process, or was written by a newer version
 */
export function openDataFolder(folder: string): DataFolder {
  const inFolder = (name: string) => path.join(folder, name);
  const notices: string[] = [];
  const file = inFolder('state.sqlite');
  try {
    // Other users, those that attempts run as among them, have no business in there.
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    makeObjectFolder(folder, notices);
    if (!fs.existsSync(file) && EARLIER_FORMAT.slice(0, 3).some((name) => fs.existsSync(inFolder(name)))) {
      const kept = setAside(folder, EARLIER_FORMAT);
      notices.push(
        `${folder} held executions in the format of an earlier version, which this one does not read: they are kept in ${kept}.`,
      );
      fs.mkdirSync(inFolder('s3'), { mode: 0o700 });
    }
    const database = openDatabase(folder, file, notices);
    try {
      return { database, credentials: loadCredentials(folder, notices), notices };
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    throw explain(error, folder);
  }
}

function makeObjectFolder(folder: string, notices: string[]): void {
  const objects = path.join(folder, 's3');
  if (fs.existsSync(objects) && !fs.statSync(objects).isDirectory()) {
    notices.push(
      `${objects} is no folder: it is kept in ${setAside(folder, ['s3'])}, and the files are gone.`,
    );
  }
  fs.mkdirSync(objects, { recursive: true, mode: 0o700 });
}

function openDatabase(folder: string, file: string, notices: string[]): Database {
  try {
    return new Database(file);
  } catch (error) {
    if (storageFailure(error) !== 'damaged') throw error;
    const kept = setAside(folder, ['state.sqlite', 'state.sqlite-wal', 'state.sqlite-shm']);
    notices.push(
      `${file} is damaged and cannot be read: it is kept in ${kept}, and the history begins anew.`,
    );
    return new Database(file);
  }
}

const credentialsSchema = z.object({ accessKeyId: z.string().min(1), secretAccessKey: z.string().min(1) });

/** The same in every life of the folder. */
function loadCredentials(folder: string, notices: string[]): Credentials {
  const name = 'credentials.json';
  const file = path.join(folder, name);
  if (fs.existsSync(file)) {
    const known = credentialsSchema.safeParse(parsed(file));
    if (known.success) return known.data;
    notices.push(
      `${file} cannot be read: it is kept in ${setAside(folder, [name])}, and new credentials are in its place.`,
    );
  }
  const credentials = {
    accessKeyId: `LOCAL${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64url'),
  };
  fs.writeFileSync(`${file}.new`, JSON.stringify(credentials), { mode: 0o600, flush: true });
  fs.renameSync(`${file}.new`, file);
  return credentials;
}

function parsed(file: string): unknown {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    // It may be a folder.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'EISDIR') return undefined;
    throw error;
  }
}

/** Moves what is there of the named files and folders into a new folder beside them. Gives that. */
function setAside(folder: string, names: string[]): string {
  const time = new Date().toISOString().replaceAll(/[:.]/g, '-');
  const kept = fs.mkdtempSync(path.join(folder, `set-aside-${time}-`));
  for (const name of names) {
    const file = path.join(folder, name);
    if (fs.existsSync(file)) fs.renameSync(file, path.join(kept, name));
  }
  return kept;
}

function explain(error: unknown, folder: string): unknown {
  const { code = '', path: at = folder } = error as NodeJS.ErrnoException;
  if (storageFailure(error) === 'in use')
    return new ConfigurationError(
      `${folder} is in use by another process: stop it, or use another DATA_DIR.`,
    );
  if (['EACCES', 'EPERM', 'EROFS'].includes(code) || /^SQLITE_(READONLY|CANTOPEN|PERM)/.test(code))
    return new ConfigurationError(
      `${at} cannot be written by this user: mend its permissions, or use another DATA_DIR.`,
    );
  if (code === 'ENOTDIR' || code === 'EEXIST')
    return new ConfigurationError(`${at} is a file, not a folder: use another DATA_DIR.`);
  if (code === 'ENOSPC' || code.startsWith('SQLITE_FULL'))
    return new ConfigurationError(`There is no room left for ${folder}: make some, or use another DATA_DIR.`);
  if (storageFailure(error) || (error as NodeJS.ErrnoException).syscall)
    return new ConfigurationError(
      `${folder} cannot be used: ${(error as Error).message}. Use another DATA_DIR.`,
    );
  return error;
}
