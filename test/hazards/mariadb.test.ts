import { testExactCases } from './exact-cases.ts';

testExactCases('mariadb');
