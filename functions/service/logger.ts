import { Logger } from '@aws-lambda-powertools/logger';

/** Structured log; POWERTOOLS_LOG_LEVEL and POWERTOOLS_SERVICE_NAME set it, handlers add `execution_id`. */
export const logger = new Logger();
