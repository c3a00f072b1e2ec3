import { ApplicationFailure, defaultPayloadConverter } from '@temporalio/common';
import { failureConverter } from '../../runtime/failure-converter.ts';
import { describeError } from '../../runtime/logging.ts';
import { TidemarkError } from '../../schemas/errors.ts';

const MARKER = 'Key (ssn)=(CANARY-7781)';

function foreignError(): Error {
  return Object.assign(new Error(MARKER), { code: '23505', table: 'customer', detail: MARKER, where: MARKER });
}

describe('failures in Temporal', () => {
  const converted = (error: unknown) => failureConverter.errorToFailure(error, defaultPayloadConverter);
  const everything = (error: unknown): string => {
    const failure = converted(error);
    return JSON.stringify(failure) + Buffer.from(failure.encodedAttributes?.data ?? []).toString('utf8');
  };

  test('ours reads as it was written, so that Temporal\'s UI explains it', () => {
    const failure = converted(ApplicationFailure.nonRetryable('The table bank.x is gone.', 'source.table_missing'));
    expect(failure.message).toBe('The table bank.x is gone.');
    expect(failure.applicationFailureInfo).toMatchObject({ type: 'source.table_missing', nonRetryable: true });
  });

  test('a foreign error keeps its name, never its message, also as a cause', () => {
    expect(converted(new TypeError(MARKER)).message).toMatch(/^TypeError: unexpected/);
    const cause = foreignError();
    for (const error of [cause, ApplicationFailure.fromError(cause), ApplicationFailure.create({ message: 'Ours.', type: 'target.constraint', cause })]) {
      expect(everything(error)).not.toContain('CANARY');
    }
  });

  test('the way back gives the message again', () => {
    const back = failureConverter.failureToError(converted(ApplicationFailure.nonRetryable('Ours.', 'target.locked')), defaultPayloadConverter);
    expect(back.message).toBe('Ours.');
  });
});

describe('errors in logs', () => {
  test('of a foreign error only codes and names', () => {
    const text = JSON.stringify(describeError(foreignError()));
    expect(text).not.toContain('CANARY');
    expect(JSON.parse(text)).toMatchObject({ name: 'Error', code: '23505', table: 'customer' });
  });

  test('of ours the message, and the cause by the same rule', () => {
    const error = new TidemarkError('target.constraint', 'A rule of the table forbids it.', { hint: 'Look at it.', cause: foreignError() });
    const described = describeError(error);
    expect(described).toMatchObject({ code: 'target.constraint', message: 'A rule of the table forbids it.', cause: { code: '23505' } });
    expect(JSON.stringify(described)).not.toContain('CANARY');
  });
});
