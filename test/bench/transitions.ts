/** State transitions of the workflow, which Step Functions bills and limits: one for each state that is entered. */
import type { ChoiceState, Machine, State } from '../../infra/states-language.ts';
import { workflow } from '../../infra/workflow.ts';

/** The ways through the choices of an execution in which every attempt's code gets to run and the last one works. */
const WAYS: Record<string, (attempt: number, attempts: number) => string> = {
  SandboxToStart: () => 'StartSandbox',
  AfterGenerate: () => 'CheckCode',
  CodeAllowed: () => 'RunCode',
  AfterAttempt: (attempt, attempts) => (attempt < attempts ? 'GenerateCode' : 'AttemptsOver'),
  AfterAttempts: () => 'FinishExecution',
};

/** Of an execution that takes `attempts` attempts. */
export function stateTransitions(attempts: number): number {
  let attempt = 0;

  function count({ StartAt, States }: Machine): number {
    let entered = 0;
    for (let name: string | undefined = StartAt; name; ) {
      const state: State | undefined = States[name];
      if (!state) throw new Error(`The workflow has no state ${name}.`);
      entered += 1;
      if (name === 'GenerateCode') attempt += 1;
      if (state.Type === 'Parallel') {
        for (const branch of state.Branches) entered += count(branch);
      }
      name = state.Type === 'Choice' ? choose(name, state) : 'Next' in state ? state.Next : undefined;
    }
    return entered;
  }

  function choose(name: string, { Choices, Default }: ChoiceState): string {
    const way = WAYS[name]?.(attempt, attempts);
    if (way && (way === Default || Choices.some(({ Next }) => Next === way))) return way;
    throw new Error(`No way is known through the choice ${name} of the workflow.`);
  }

  return count(workflow);
}
