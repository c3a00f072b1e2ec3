/** Webhooks as a file has them: URLs that events may be sent to, and secrets that stand elsewhere. */
import type { Path } from '../../schemas/config-coercion.ts';
import { resolveText } from '../../schemas/config-references.ts';
import type { EventsSettings, WebhookSettings } from '../../schemas/settings.ts';
import type { EventType } from '../../schemas/event-types.ts';
import { webhookUrlProblem } from '../events/webhook-address.ts';
import { parseWebhookSecret } from '../events/webhook-signature.ts';
import { isGroup, valueAt } from './file-shape.ts';
import type { IssueProblem } from './issues.ts';
import type { Substitution } from './substitution.ts';

const LIST = ['events', 'webhooks'] as const;

/** Values that workers resolve at the moment of use. */
export function isDeferredWebhook(path: Path): boolean {
  return path[0] === LIST[0] && path[1] === LIST[1] && (path[3] === 'url' || path[3] === 'secret');
}

/** `written` is the tree in which references are kept. */
export function webhookProblems(tree: Substitution, written: unknown): readonly IssueProblem[] {
  const list = valueAt(tree.data, LIST);
  if (!Array.isArray(list)) return [];
  const seen = new Map<unknown, number>();
  return list.flatMap((webhook: unknown, index) => {
    if (!isGroup(webhook)) return [];
    const path = [...LIST, index];
    const url = valueAt(written, [...path, 'url']);
    const first = seen.get(url);
    if (first === undefined) seen.set(url, index);
    const twice = first === undefined ? [] : [problem([...path, 'url'], `This webhook is named twice: it is webhook ${first + 1} as well; Remove one of them.`, 'config.duplicate')];
    return [...twice, ...urlProblems(tree, path, webhook), ...secretProblems(tree, written, path)];
  });
}

function urlProblems(tree: Substitution, path: Path, webhook: Readonly<Record<string, unknown>>): readonly IssueProblem[] {
  const at = [...path, 'url'];
  if (typeof webhook.url !== 'string' || tree.unresolved(at)) return [];
  const said = webhookUrlProblem(webhook.url, webhook.insecure === true || webhook.insecure === 'true');
  return said === null ? [] : [problem(at, said)];
}

function secretProblems(tree: Substitution, written: unknown, path: Path): readonly IssueProblem[] {
  const at = [...path, 'secret'];
  const text = valueAt(written, at);
  if (typeof text !== 'string' || text === '') return [];
  if (resolveText(text, {}).text !== null) return [problem(at, 'A secret stands in the file itself; Write "${NAME}" and set the variable where Tidemark runs.')];
  const resolved = valueAt(tree.data, at);
  if (tree.unresolved(at) || typeof resolved !== 'string' || parseWebhookSecret(resolved) !== null) return [];
  return [problem(at, 'This secret is too weak to sign with; Make one with: echo "whsec_$(openssl rand -base64 32)"')];
}

function problem(path: Path, sentence: string, code: IssueProblem['code'] = 'config.invalid'): IssueProblem {
  const [message = sentence, hint = null] = sentence.split('; ');
  return { code, path, part: 'value', message: message.endsWith('.') ? message : `${message}.`, hint };
}

/** Webhooks for the catalog, references kept; undefined where the file names none. */
export function webhooksOf(parsed: { readonly webhooks?: readonly { readonly types?: readonly EventType[] | undefined; readonly insecure?: boolean | undefined }[] | undefined } | undefined, written: unknown): EventsSettings | undefined {
  const webhooks = (parsed?.webhooks ?? []).map(({ types, insecure }, index): WebhookSettings => {
    const text = (key: string): string => String(valueAt(written, [...LIST, index, key]));
    return { url: text('url'), secret: text('secret'), types: types ?? null, insecure: insecure ?? false };
  });
  return webhooks.length === 0 ? undefined : { webhooks };
}
