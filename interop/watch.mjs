// Which methods an object has, and which of them have been called: a method that nobody calls is one that nobody tests.

/// `view` stands for the object; `uncalled()` names the methods that have not yet been called and answered, such as
/// `sandboxes.files.write`. What begins with `_`, and calls among the methods themselves, do not count.
export function watch(object) {
  const uncalled = new Set();
  const view = wrap(object, "", uncalled, new Set());
  return { view, uncalled: () => [...uncalled].sort() };
}

function wrap(object, prefix, uncalled, parents) {
  const members = {};
  for (let level = object; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const name of Object.getOwnPropertyNames(level)) {
      if (name !== "constructor" && !name.startsWith("_")) members[name] ??= object[name];
    }
  }
  for (const [name, member] of Object.entries(members)) {
    const path = prefix + name;
    if (typeof member === "function") {
      uncalled.add(path);
      members[name] = (...args) => {
        const answer = member.apply(object, args);
        Promise.resolve(answer).then(() => uncalled.delete(path), () => {});
        return answer;
      };
    } else if (typeof member === "object" && member !== null && !parents.has(member)) {
      members[name] = wrap(member, `${path}.`, uncalled, new Set([...parents, object]));
    }
  }
  return members;
}
