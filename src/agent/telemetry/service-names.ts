/** A unit's name as systemd takes it; a name without a suffix is that of a service. */
export const servicePattern = /^[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]{0,254}$/;

/** As many as a sample may have. */
export const maximumServices = 1024;
