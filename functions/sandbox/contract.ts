/**
 * What crosses the edge of a sandbox: these documents and no others, through the mailbox.
 *
 *   service ─► sandbox   manifest, and as jobs: job, wake, exit
 *   sandbox ─► service   ready, started, output, result; the files that a result names
 *
 * This is the one description of them. `sandbox-image/sandbox/contract.json` is written from it, for the sandbox, which
 * takes its limits from there, and for the tests of the sandbox, which hold every document to it; a test here sees to
 * it that the file is up to date. In tests an unknown field is an error; in service it is passed over, so that
 * functions and sandboxes of neighbouring versions understand each other.
 */
import * as z from 'zod';
import {
  artifactSchema,
  errorCategorySchema,
  LIMITS,
  policySchema,
  text,
  violationSchema,
} from '../execution/execution.ts';

/** Characters and counts that a document may have; what is cut on the sandbox's side is cut to these. */
export const CONTRACT_LIMITS = {
  ...LIMITS.artifacts,
  skipped: 50,
  /** inputs of a job, bytes of one and of all, and characters and bytes of a name */
  inputs: LIMITS.inputs.files,
  inputBytes: LIMITS.inputs.fileBytes,
  inputTotalBytes: LIMITS.inputs.totalBytes,
  inputName: LIMITS.inputs.name,
  inputNameBytes: LIMITS.inputs.nameBytes,
  /** characters of a job's code and tests, and its seconds; the API allows less */
  code: 60_000,
  tests: 60_000,
  timeout: 3_600,
  /** bytes of the output in UTF-8 that a result holds, and characters of one piece while it comes */
  output: 1024 * 1024,
  chunk: 16_000,
  error: 2_000,
  traceback: 8_000,
  locals: 20,
  value: 200,
  violations: 20,
} as const;

const jobIdSchema = z.string().regex(/^[A-Za-z0-9_.-]{1,128}$/);

const manifestSchema = z.object({
  sandbox_id: text(128),
  expires_at: z.iso.datetime({ offset: true }),
  job_url: z.string(),
  upload: z.object({
    url: z.string(),
    fields: z.record(z.string(), z.string()),
    prefix: z.string(),
    max_bytes: z.int().min(0),
  }),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** The name of an input: that of a file in the working folder, not hidden, and not of one that a sandbox puts there. */
export const inputNameSchema = text(LIMITS.inputs.name)
  .regex(/^(?!\.|main\.py$)[^\p{Cc}\p{Cs}/\\]+$/u, 'must be the plain name of a file that is not hidden')
  .refine((name) => Buffer.byteLength(name) <= LIMITS.inputs.nameBytes, {
    error: `must have at most ${LIMITS.inputs.nameBytes} bytes in UTF-8`,
  });

/** A file that a sandbox fetches and puts into the working folder of each attempt. No two of a job have one name. */
const inputSchema = z.object({
  name: inputNameSchema,
  size: z.int().min(0).max(LIMITS.inputs.fileBytes),
  /** The MD5 of its content in hex; null where S3 does not have it. */
  etag: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .nullable(),
  /** A presigned GET. */
  url: z.string().regex(/^https?:\/\/\S+$/),
});
export type Input = z.infer<typeof inputSchema>;

const inputsSchema = z.array(inputSchema).max(LIMITS.inputs.files).optional();

const jobSchema = z.object({
  job_id: jobIdSchema,
  code: text(CONTRACT_LIMITS.code),
  tests: text(CONTRACT_LIMITS.tests).nullable(),
  /** seconds */
  timeout: z.number().positive().max(CONTRACT_LIMITS.timeout),
  policy: policySchema,
  inputs: inputsSchema,
});
export type Job = z.infer<typeof jobSchema>;

/** A job will come soon. With its inputs, these are fetched meanwhile. */
const wakeSchema = z.object({ job_id: jobIdSchema, wake: z.literal(true), inputs: inputsSchema });
export type WakeJob = z.infer<typeof wakeSchema>;

const exitSchema = z.object({ job_id: jobIdSchema, exit: z.literal(true) });

export const readySchema = z.object({
  sandbox_id: text(128),
  /** State of each layer. */
  isolation: z.record(text(50), text(200)),
  /** Version, such as `3.13.1`. */
  python: text(50),
  packages: z.array(text(100)).max(2_000),
  /** seconds */
  started_in: z.number().min(0),
});

const startedSchema = z.object({ job_id: jobIdSchema });

export const outputSchema = z.object({
  job_id: jobIdSchema,
  chunk: z.int().min(1).max(10_000),
  text: text(CONTRACT_LIMITS.chunk),
});

/** A file of a result: its path in the working folder, which is also the end of the key that it is uploaded to. */
export const uploadedArtifactSchema = artifactSchema.extend({
  name: text(LIMITS.artifacts.name).regex(
    /^(?!(?:[^/]*\/)*\.{0,2}(?:\/|$))[^\p{Cc}\\]+$/u,
    'must be a relative path',
  ),
  size: z.int().min(0).max(LIMITS.artifacts.fileBytes),
  content_type: text(100).regex(/^[\w.+-]+\/[\w.+-]+$/),
});

export const leftOutSchema = z.object({
  name: text(LIMITS.artifacts.name).regex(/^\P{Cc}*$/u, 'must be printable'),
  reason: text(200),
});

export const resultSchema = z.object({
  job_id: jobIdSchema,
  success: z.boolean(),
  error_category: errorCategorySchema.exclude(['no_code', 'model_error']).nullable(),
  error: text(CONTRACT_LIMITS.error).nullable(),
  error_line: z.int().min(1).nullable(),
  traceback: text(CONTRACT_LIMITS.traceback).nullable(),
  locals: z
    .record(text(CONTRACT_LIMITS.value).min(1), text(CONTRACT_LIMITS.value))
    .refine((values) => Object.keys(values).length <= CONTRACT_LIMITS.locals)
    .meta({ maxProperties: CONTRACT_LIMITS.locals }),
  violations: z.array(violationSchema).max(CONTRACT_LIMITS.violations),
  standard_permits: z.boolean(),
  output: text(CONTRACT_LIMITS.output),
  output_truncated: z.boolean(),
  execution_time: z.number().min(0),
  exit_code: z.int().min(0).max(255).nullable(),
  signal: text(20).nullable(),
  peak_memory_bytes: z.int().min(0).nullable(),
  artifacts: z.array(uploadedArtifactSchema).max(LIMITS.artifacts.files),
  artifacts_skipped: z.array(leftOutSchema).max(CONTRACT_LIMITS.skipped),
});
export type RunResult = z.infer<typeof resultSchema>;

/** A result as it is taken in: one file with a bad name is no reason to lose the rest, nor is what only tells more. */
export const receivedResultSchema = resultSchema
  .extend({ artifacts: z.array(z.unknown()), artifacts_skipped: z.array(z.unknown()).default([]) })
  .partial({ standard_permits: true, exit_code: true, signal: true, peak_memory_bytes: true });
export type ReceivedResult = z.infer<typeof receivedResultSchema>;

/** The documents by name. */
export const contract = {
  manifest: manifestSchema,
  job: jobSchema,
  wake: wakeSchema,
  exit: exitSchema,
  ready: readySchema,
  started: startedSchema,
  output: outputSchema,
  result: resultSchema,
};

/** The end of the key that a file of this name is uploaded to: what S3 and URLs read otherwise (`\${filename}`) is encoded. */
export const uploadName = (name: string) =>
  name.replace(/[ -~]/g, (character) => (character === '/' ? character : encodeURIComponent(character)));
