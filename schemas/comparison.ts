/**
 * How rows of a source and its target are compared inside the two databases: the words that both ends share. Each end turns a column into a
 * canonical text, the texts of a row into one, and that into two 64-bit hashes; nothing but sums of hashes crosses the network.
 */

/**
 * The canonical text of a value. An end that can't print a form exactly doesn't offer it.
 *
 * | form | text |
 * |---|---|
 * | `native` | the value as PostgreSQL prints it within a record, sessions pinned alike; only between equal types of two PostgreSQL servers |
 * | `text` | characters as they are; of other types the text that the target keeps |
 * | `number` | decimal digits, no exponent, no zero at the end of a fraction, no minus before zero |
 * | `boolean` | `0` or `1` |
 * | `date` | `YYYY-MM-DD` |
 * | `datetime` | `YYYY-MM-DD HH:MM:SS.ffffff`, without a zone, or in UTC where the type has one |
 * | `bytes` | MD5 of the bytes, 32 lower-case hexadecimal digits |
 */
export type Form = 'native' | 'text' | 'number' | 'boolean' | 'date' | 'datetime' | 'bytes';

/**
 * - `pg64`: `hashtextextended(r, 0)` and `(r, 1)` of the text `r` of a record of all columns.
 * - `md5`: the two halves of `md5(r)` as signed 64-bit integers, where `r` joins the columns with commas: of a `text` column its length in
 *   bytes (-1 for NULL) and its text, of all others the text alone; nothing for NULL. No two rows have the same `r`.
 */
export type DigestAlgorithm = 'pg64' | 'md5';

/** How the rows of one stream are hashed: the same at both ends. */
export interface DigestPlan {
  readonly algorithm: DigestAlgorithm;
  /** One for each column that is compared, in order. `column` is the source's name. */
  readonly columns: readonly { readonly column: string; readonly form: Form }[];
  /** First hash of the text `é` as this end computes it: hashes of servers of another byte order differ, and then nothing is compared by them. */
  readonly probe: string;
}

/** A bucket holds the rows whose first hash ends in its number's bits, so that both ends cut alike whatever their keys and collations. */
export interface Bucket {
  readonly bucket: number;
  readonly rows: number;
  /** Sums of the two hashes, decimal; compared modulo 2^64. */
  readonly sums: readonly [string, string];
}

export interface Digest {
  readonly buckets: readonly Bucket[];
  /** This end's clock when the snapshot was taken, ISO 8601 UTC. */
  readonly asOf: string;
}

/** Numbers of the buckets that differ. */
export function differingBuckets(a: readonly Bucket[], b: readonly Bucket[]): number[] {
  const image = (bucket: Bucket): string => [bucket.rows, ...bucket.sums.map((sum) => BigInt.asUintN(64, BigInt(sum)))].join('/');
  const left = new Map(a.map((bucket) => [bucket.bucket, image(bucket)]));
  const right = new Map(b.map((bucket) => [bucket.bucket, image(bucket)]));
  return [...new Set([...left.keys(), ...right.keys()])].filter((bucket) => left.get(bucket) !== right.get(bucket)).sort((x, y) => x - y);
}

export function rowsOf(digest: Pick<Digest, 'buckets'>): number {
  return digest.buckets.reduce((sum, bucket) => sum + bucket.rows, 0);
}

/** What a comparison of one stream found; counts and states only, so that it may cross Temporal. One line of `reconcile --json`. */
export interface ReconcileResult {
  readonly source: string;
  readonly stream: string;
  readonly target: string;
  readonly sourceRows: number;
  readonly targetRows: number;
  /** Keys of the source that the target lacks; for a stream without key, rows. */
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  /** Keys that changed at the source between all looks, so that nothing can be said of them. */
  readonly unsettled: number;
  /** Keys that a repair has made equal. */
  readonly repaired: number;
  /** Keys that differ now: what was found less what was repaired. */
  readonly remaining: number;
  /** Rejected rows of the stream that wait in quarantine: known, and no differences where rows have a key. */
  readonly quarantined: number;
  /** Columns of the target that were left out. */
  readonly notCompared: readonly string[];
  /** The stream has a key, so that what differs has a name and can be repaired. */
  readonly named: boolean;
  /** `digest`: hashed inside both databases; `extract`: rows were copied into the destination and compared there. */
  readonly way: 'digest' | 'extract';
  /** The source's clock at the first look (the worker's where `way` is `extract`), ISO 8601 UTC. */
  readonly asOf: string;
  readonly notes: readonly string[];
}
