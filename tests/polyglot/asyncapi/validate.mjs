// Validates an AsyncAPI document with the official parser, with all that it refers to.
// Prints every problem, or, when there is none, what each operation is about, as JSON.
import { Parser, fromFile } from '@asyncapi/parser';

const [path] = process.argv.slice(2);
if (!path) {
  console.error('usage: node validate.mjs asyncapi.yaml');
  process.exit(2);
}

// Severities below a warning (2, 3) are advice, such as to move to a newer version of the specification.
const WARNING = 1;

const { document, diagnostics } = await fromFile(new Parser(), path).parse();
const problems = diagnostics.filter(({ severity }) => severity <= WARNING);
for (const { code, message, path: where } of problems) {
  console.error(`${where.join('.')}: ${code}: ${message}`);
}
if (!document || problems.length > 0) process.exit(1);

const operations = document.operations().all().map((operation) => ({
  id: operation.id(),
  action: operation.action(),
  service: operation.tags().all()[0].name(),
  topics: operation.channels().all().map((channel) => channel.address()),
  messages: operation.messages().all().map((message) => message.name()),
}));
console.log(JSON.stringify({ operations }));
