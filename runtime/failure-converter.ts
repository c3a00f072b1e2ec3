/**
 * How failures are written into Temporal's histories, by clients, workers and workflow code alike. Runs in the workflow sandbox too:
 * imports nothing of Node.
 *
 * Message and stack go through `encodeCommonAttributes`, so that a payload codec covers them. On its own that makes every failure read
 * "Encoded failure" in Temporal's UI, so the plain message is put back where it is known to be ours: an error with one of our
 * codes, or one made by Temporal itself. The message of any other error is withheld altogether, since drivers quote rows in it and
 * base64 hides nothing; its name and the frames of its stack remain.
 */
import { DefaultFailureConverter, type PayloadConverter, type ProtoFailure } from '@temporalio/common';
import { ERROR_CODES } from '../schemas/errors.ts';

const NAME = /^[A-Za-z][A-Za-z0-9_.]{0,60}$/;

/** Workflow code sees ids and states only, so what it throws by mistake may be read as it is. */
function insideWorkflow(): boolean {
  return Reflect.get(globalThis, '__TEMPORAL_ACTIVATOR__') !== undefined;
}

function framesOnly(stack: string | null | undefined): string {
  return (stack ?? '').split('\n').filter((line) => /^\s*at /.test(line)).join('\n');
}

function madeByTemporal(failure: ProtoFailure): boolean {
  return Boolean(
    failure.activityFailureInfo ??
      failure.childWorkflowExecutionFailureInfo ??
      failure.timeoutFailureInfo ??
      failure.canceledFailureInfo ??
      failure.terminatedFailureInfo ??
      failure.serverFailureInfo ??
      failure.resetWorkflowFailureInfo,
  );
}

function showableMessage(failure: ProtoFailure, error: unknown): string {
  const message = failure.message ?? '';
  const type = failure.applicationFailureInfo?.type ?? '';
  if (madeByTemporal(failure) || Object.hasOwn(ERROR_CODES, type) || insideWorkflow()) return message;
  const name = type || (error instanceof Error ? error.name : 'Error');
  return `${NAME.test(name) ? name : 'Error'}: unexpected; the message is withheld because it may quote a row`;
}

class ScrubbingFailureConverter extends DefaultFailureConverter {
  constructor() {
    super({ encodeCommonAttributes: true });
  }

  override errorToFailure(error: unknown, payloadConverter: PayloadConverter): ProtoFailure {
    const plain = this.errorToFailureInner(error, payloadConverter);
    const message = showableMessage(plain, error);
    return {
      ...plain,
      message,
      stackTrace: '',
      encodedAttributes: payloadConverter.toPayload({ message, stack_trace: framesOnly(plain.stackTrace) }),
    };
  }
}

export const failureConverter = new ScrubbingFailureConverter();
