/** Runs before the tests of each file: releases in reverse order, after its tests, what the file acquired. */
import { releaseAll } from './release.ts';

afterAll(releaseAll);
