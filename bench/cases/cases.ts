import type { BenchCase } from '../bench-case.ts';
import { append, reconcile, unchanged, upsert } from './changes.ts';
import { db2Load } from './db2-load.ts';
import { firstLoad, maskedLoad } from './first-load.ts';
import { freshness } from './freshness.ts';
import { mariadbLoad } from './mariadb-load.ts';

/** In the order they run. */
export const CASES: readonly BenchCase[] = [firstLoad, maskedLoad, upsert, append, unchanged, mariadbLoad, db2Load, freshness, reconcile];
