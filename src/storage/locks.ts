/** Names of the advisory locks; any numbers that nobody else uses. */
export const migrationLock = 7_486_001;
export const instanceLock = 7_486_002;
export const partitionLock = 7_486_003;
export const rollupLock = 7_486_004;
