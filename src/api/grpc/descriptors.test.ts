import { expect, test } from 'vitest';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { indexDescriptors, withDependencies } from './descriptors.ts';

test('to tell the same of the proto files again costs nothing', () => {
  const index = indexDescriptors([ControlService], []);
  const file = index.fileBySymbol(ControlService.typeName);
  if (file === undefined) throw new Error('there is no such file');
  const first = withDependencies(file);
  const before = performance.now();
  for (let n = 0; n < 1000; n++) expect(withDependencies(file)).toHaveLength(first.length);
  expect(withDependencies(file)[0]).toBe(first[0]);
  expect(performance.now() - before).toBeLessThan(1000);
});
