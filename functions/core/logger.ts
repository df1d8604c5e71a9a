import { Logger } from '@aws-lambda-powertools/logger';

/** Structured log; POWERTOOLS_LOG_LEVEL sets the level, handlers add `execution_id`. */
export const logger = new Logger({ serviceName: 'recursive-ai-executor' });
