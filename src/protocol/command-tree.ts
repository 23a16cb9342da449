import { hash } from 'node:crypto';
import { signedInput } from './signed.ts';

/**
 * The hash tree over commands that leave together: one signature of its root serves them all, and each carries the
 * hashes beside its way to the root. Shape and checks are those of RFC 9162 (2.1); leaves and nodes begin with
 * different bytes, so that neither passes for the other.
 */

export const hashBytes = 32;
/** 2^32 leaves are more than anybody signs at once. */
const maximumPath = 32;

const leafDomain = 'viworks.command.v1';
const leafMark = 0x00;
const nodeMark = 0x01;

/** The hash of a serialised CommandBody: SHA-256(0x00 lp(domain) lp(body)). */
export function leafOf(body: Uint8Array): Uint8Array {
  const headed = scratch(leafHead.byteLength + 4 + body.byteLength);
  headed.set(leafHead, 0);
  headed.writeUInt32BE(body.byteLength, leafHead.byteLength);
  headed.set(body, leafHead.byteLength + 4);
  return sha256(headed);
}

const leafHead = Buffer.concat([Uint8Array.of(leafMark), signedInput(leafDomain)]);

/** Used again for each leaf: nothing else runs between its writing and its hash. */
const shared = Buffer.alloc(8192);
const scratch = (size: number): Buffer =>
  size <= shared.byteLength ? shared.subarray(0, size) : Buffer.alloc(size);

/** SHA-256 by way of text: Node makes a string sooner than it makes a buffer. */
const sha256 = (bytes: Uint8Array): Uint8Array => Buffer.from(hash('sha256', bytes, 'binary'), 'binary');

const pair = Buffer.alloc(1 + 2 * hashBytes);
function nodeOf(left: Uint8Array, right: Uint8Array): Uint8Array {
  pair[0] = nodeMark;
  pair.set(left, 1);
  pair.set(right, 1 + hashBytes);
  return sha256(pair);
}

/** What is signed of a tree. */
export const rootInput = (root: Uint8Array): Uint8Array => signedInput('viworks.command-tree.v1', root);

export interface CommandTree {
  root: Uint8Array;
  /** The hashes beside the way from this leaf to the root, lowest first, one after the other. */
  path(index: number): Uint8Array;
}

/** @param leaves at least one */
export function treeOf(leaves: readonly Uint8Array[]): CommandTree {
  /** Level by level from the leaves; one without a sibling goes up as it is, which gives the tree of RFC 9162. */
  const levels: (readonly Uint8Array[])[] = [leaves];
  for (let level = leaves; level.length > 1; ) {
    const next: Uint8Array[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const [left, right] = [level[at], level[at + 1]];
      if (left !== undefined) next.push(right === undefined ? left : nodeOf(left, right));
    }
    levels.push(next);
    level = next;
  }
  const root = levels.at(-1)?.[0];
  if (root === undefined) throw new Error('a tree has at least one leaf');
  return {
    root,
    path(index) {
      const siblings: Uint8Array[] = [];
      let at = index;
      for (const level of levels) {
        const sibling = level[at ^ 1];
        if (level.length > 1 && sibling !== undefined) siblings.push(sibling);
        at >>>= 1;
      }
      return Buffer.concat(siblings);
    },
  };
}

/**
 * The root that a leaf leads to (RFC 9162, 2.1.3.2), or undefined where there is no such place in such a tree.
 * @param size how many leaves the tree has
 */
export function rootFrom(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: Uint8Array,
): Uint8Array | undefined {
  if (index >= size || path.byteLength % hashBytes !== 0) return undefined;
  if (path.byteLength / hashBytes > maximumPath) return undefined;
  let node = leaf;
  let at = index;
  let last = size - 1;
  for (let offset = 0; offset < path.byteLength; offset += hashBytes) {
    if (last === 0) return undefined;
    const sibling = path.subarray(offset, offset + hashBytes);
    if (at % 2 === 1 || at === last) {
      node = nodeOf(sibling, node);
      while (at % 2 === 0 && at !== 0) {
        at = Math.floor(at / 2);
        last = Math.floor(last / 2);
      }
    } else {
      node = nodeOf(node, sibling);
    }
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? node : undefined;
}
