/**
 * The history of the wire. Whoever changes a message of viworks.agent.v1 adds an entry here and its hash to
 * versions.test.ts, which fails until both are done.
 */
export interface ProtocolVersion {
  version: number;
  /** What an author of agents must know of the change. */
  change: string;
}

export const protocolHistory: readonly ProtocolVersion[] = [{ version: 1, change: 'The first version.' }];

/** The newest version this code speaks. */
export const protocolVersion = 1;
/** The oldest version this code still speaks. */
export const protocolFloor = 1;

/** The highest version that both sides speak, or undefined if there is none. */
export function chooseVersion(offered: readonly number[]): number | undefined {
  const common = offered.filter((version) => version >= protocolFloor && version <= protocolVersion);
  return common.length === 0 ? undefined : Math.max(...common);
}
