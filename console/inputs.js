// Form fields made from the schemas of a Thing Description.
import { h } from "./dom.js";
import { unit } from "./format.js";

function hintOf(schema) {
  const sign = unit(schema.unit);
  if (schema.minimum !== undefined && schema.maximum !== undefined)
    return `${schema.minimum} to ${schema.maximum} ${sign}`.trim();
  if (schema.minimum !== undefined) return `from ${schema.minimum} ${sign}`.trim();
  if (schema.maximum !== undefined) return `up to ${schema.maximum} ${sign}`.trim();
  return "";
}

function chooser(id, schema, choices, current) {
  const element = h(
    "select",
    { id },
    choices.map((each) => h("option", { value: JSON.stringify(each), selected: each === current }, String(each))),
  );
  return { element, hint: "", isEmpty: () => false, read: () => JSON.parse(element.value) };
}

// `element` with `read()`, which gives the value in the schema's type; the browser checks the bounds.
export function inputFor(id, schema = {}, current = undefined, isRequired = true) {
  if (schema.type === "boolean") return chooser(id, schema, [true, false], current);
  if (Array.isArray(schema.enum)) return chooser(id, schema, schema.enum, current);
  const isNumber = schema.type === "number" || schema.type === "integer";
  const element = h("input", {
    id,
    type: isNumber ? "number" : "text",
    required: isRequired,
    autocomplete: "off",
    min: isNumber ? schema.minimum : undefined,
    max: isNumber ? schema.maximum : undefined,
    step: schema.type === "integer" ? 1 : isNumber ? "any" : undefined,
    minlength: isNumber ? undefined : schema.minLength,
    maxlength: isNumber ? undefined : schema.maxLength,
    value: current ?? undefined,
  });
  return {
    element,
    hint: hintOf(schema),
    isEmpty: () => element.value === "",
    read: () => (isNumber ? Number(element.value) : element.value),
  };
}

// The members of an action's input, each with its label; an input that is no object is one unnamed field.
export function inputsFor(id, schema) {
  if (schema?.type !== "object") return [];
  return Object.entries(schema.properties ?? {}).map(([name, member]) => {
    const field = inputFor(`${id}-${name}`, member, member.default, (schema.required ?? []).includes(name));
    const sign = unit(member.unit);
    return {
      ...field,
      name,
      withLabel: [h("label", { for: field.element.id }, sign ? `${name} (${sign})` : name), field.element],
    };
  });
}
