/** A certificate is replaced when this part of its life is over. */
export const renewAtPart = 2 / 3;
