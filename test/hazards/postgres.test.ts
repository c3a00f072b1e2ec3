import { testExactCases } from './exact-cases.ts';

testExactCases('postgres');
