import { testProtections } from './protections.ts';

testProtections('postgres');
