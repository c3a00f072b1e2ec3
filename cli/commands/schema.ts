import type { Register } from '../context.ts';

/** The schema is JSON with and without `--json`: both print the document alone, so that `> tidemark.schema.json` works. */
export const register: Register = (program, context) => {
  program
    .command('schema')
    .description('print the JSON Schema of the file')
    .action(async () => {
      const { configJsonSchema } = await import('../../control/configuration/json-schema.ts');
      const schema = await configJsonSchema();
      await context.output.result(schema, () => JSON.stringify(schema, null, 2));
    });
};
