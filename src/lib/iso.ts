/** Times in ISO 8601, UTC. What happens to many things at once has one time, which is then written once. */
export function createIsoWriter(): (ms: number) => string {
  let last = Number.NaN;
  let text = '';
  return (ms) => {
    if (ms !== last) {
      text = new Date(ms).toISOString();
      last = ms;
    }
    return text;
  };
}
