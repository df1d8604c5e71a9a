import type { AttemptStatus, ExecutionStatus } from '../../../functions/execution/execution.ts';
import { CheckIcon, ClockIcon, CrossIcon, SpinnerIcon, StopIcon } from './icons.tsx';

/** The sign of a status; the words are beside it. */
export function StatusMark({ status }: { status: AttemptStatus | ExecutionStatus }) {
  switch (status) {
    case 'succeeded':
      return <CheckIcon className="text-ok" />;
    case 'failed':
      return <CrossIcon className="text-fail" />;
    case 'cancelled':
      return <StopIcon className="text-muted" />;
    case 'queued':
      return <ClockIcon className="text-muted" />;
    default:
      return <SpinnerIcon className="text-accent" />;
  }
}
