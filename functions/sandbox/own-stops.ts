/**
 * The ends of tasks that we bring about ourselves: nobody has to be told of them, for whoever stops a task has seen to the
 * rest before. ECS tells of them by the reason that StopTask was given; infra's rule and the local runtime both leave them out.
 */
export const OWN_STOP = 'Stopped by the service: ';

export const isOwnStop = (stoppedReason = '') => stoppedReason.startsWith(OWN_STOP);
