import {
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  toBinary,
} from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

/** What server reflection answers from: files, everything that has a name in them, and their extensions. */
export interface DescriptorIndex {
  /** Full names, in the order of the alphabet. */
  services: readonly string[];
  fileByName(name: string): DescFile | undefined;
  /** By the full name of a message, field, enum, value, extension, service or method. */
  fileBySymbol(symbol: string): DescFile | undefined;
  fileByExtension(message: string, number: number): DescFile | undefined;
  /** Undefined if there is no such message. */
  extensionNumbers(message: string): readonly number[] | undefined;
}

/** @param files beside those of the services, for example messages that travel inside `Any` or as JSON */
export function indexDescriptors(
  services: readonly DescService[],
  files: readonly DescFile[] = [],
): DescriptorIndex {
  const byName = new Map<string, DescFile>();
  const bySymbol = new Map<string, DescFile>();
  const messages = new Set<string>();
  const extensions = new Map<string, Map<number, DescFile>>();

  const addMessage = (message: DescMessage, file: DescFile) => {
    messages.add(message.typeName);
    for (const field of message.fields) bySymbol.set(`${message.typeName}.${field.name}`, file);
    for (const oneof of message.oneofs) bySymbol.set(`${message.typeName}.${oneof.name}`, file);
  };
  const addExtension = (extension: DescExtension, file: DescFile) => {
    const extendee = extension.extendee.typeName;
    const numbers = extensions.get(extendee) ?? new Map<number, DescFile>();
    extensions.set(extendee, numbers.set(extension.number, file));
  };
  const add = (file: DescFile) => {
    if (byName.has(file.proto.name)) return;
    byName.set(file.proto.name, file);
    for (const type of nestedTypes(file)) {
      bySymbol.set(type.typeName, file);
      if (type.kind === 'message') addMessage(type, file);
      if (type.kind === 'extension') addExtension(type, file);
      if (type.kind === 'service') {
        for (const method of type.methods) bySymbol.set(`${type.typeName}.${method.name}`, file);
      }
      if (type.kind === 'enum') {
        // As in C++, values are names in the scope around their enum (descriptor.proto says so).
        const scope = type.typeName.slice(0, -type.name.length);
        for (const value of type.values) bySymbol.set(scope + value.name, file);
      }
    }
    file.dependencies.forEach(add);
  };
  services.forEach((service) => {
    add(service.file);
  });
  files.forEach(add);

  return {
    services: services.map((service) => service.typeName).sort(),
    fileByName: (name) => byName.get(name),
    fileBySymbol: (symbol) => bySymbol.get(symbol),
    fileByExtension: (message, number) => extensions.get(message)?.get(number),
    extensionNumbers: (message) =>
      messages.has(message) ? [...(extensions.get(message)?.keys() ?? [])].sort((a, b) => a - b) : undefined,
  };
}

/** The file and all it depends on, serialised, each once and the file itself first. */
export function withDependencies(file: DescFile): Uint8Array[] {
  const closure = new Set<DescFile>();
  const add = (each: DescFile) => {
    if (closure.has(each)) return;
    closure.add(each);
    each.dependencies.forEach(add);
  };
  add(file);
  return [...closure].map(serialise);
}

/** Whoever asks needs no token, and may ask for the same again and again. */
const serialised = new WeakMap<DescFile, Uint8Array>();

function serialise(file: DescFile): Uint8Array {
  const known = serialised.get(file);
  if (known !== undefined) return known;
  const bytes = toBinary(FileDescriptorProtoSchema, file.proto);
  serialised.set(file, bytes);
  return bytes;
}
