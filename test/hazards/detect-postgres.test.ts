import { testDetectCases } from './detect-cases.ts';

testDetectCases('postgres');
