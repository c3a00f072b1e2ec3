/**
 * Temporal's client library, loaded as the CommonJS that it is: an `import` of it would first look through the text of all its files for their
 * exports, the 1.4 MB of its protocol included, which takes a command as long as loading them.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as Library from '@temporalio/client';

const library = createRequire(join(import.meta.dirname, 'temporal-library.ts'))('@temporalio/client') as typeof Library;

export const { ApplicationFailure, Client, Connection, ScheduleNotFoundError, ScheduleOverlapPolicy, WorkflowFailedError, WorkflowIdConflictPolicy } = library;
export type Client = Library.Client;
export type Connection = Library.Connection;
