#!/usr/bin/env python3
"""The tables of docs/scef.md: what of T6a, S6t, Tsp, S6m and T4 is done, with the certainty of each fact from spec/*.csv.

usage: scef_page.py [--check FILE]

Prints the page's tables; with --check fails when FILE does not hold them as they would be printed."""
import csv
import pathlib
import re
import sys

SPEC = pathlib.Path(__file__).resolve().parents[1] / "spec"
T6A, S6T, TSP, S6M, T4 = "16777346", "16777345", "16777309", "16777310", "16777311"
LABELS = {T6A: "T6a", S6T: "S6t", TSP: "Tsp", S6M: "S6m", T4: "T4"}

COMMANDS = [  # abbreviation, application, how far, what
    ("CMR", T6A, "done", "both ways. Establish, update, release; UE reachable. Service-Selection is compared, see APNs"),
    ("CMA", T6A, "done", "2001, 3004, 5001, 5012, 5101, 5651, 5652"),
    ("ODR", T6A, "done", "one event; answered when durable; repetitions get the first answer"),
    ("ODA", T6A, "done", "2001, also when the twin refuses the frame; 3004, 5001, 5012, 5651"),
    ("TDR", T6A, "done", "with SCEF-Wait-Time (10 s) and Maximum-Retransmission-Time (the downlink's expiry)"),
    ("TDA", T6A, "done", "2001 delivered; 5653 and Requested-Retransmission-Time: again at that time or the next contact; 3004: again after 5 s; "
     "5651, 5001: the connection is over on this side too; 5xxx of the base protocol but 5012: failed; all others: at the next contact"),
    ("RIR", T6A, "done", "each report to the core of its reference, answered when durable; a repetition is told once"),
    ("RIA", T6A, "done", "a Monitoring-Event-Report-Status for each: 2001, 5012, 5515 for a reference that is unknown; 5515 itself where all are"),
    ("CIR", T6A, "partly", "sent: how many devices are in an area; taken by an IWK-SCEF (T6ai), else 3001"),
    ("CIA", T6A, "partly", "UE-Count of each place; 5650: an area of another node"),
    ("RIR", S6T, "done", "as on T6a; Group-Report, Event-Handling, RIR-Flags, Updated-Network-Configuration"),
    ("RIA", S6T, "done", "as on T6a"),
    ("NIR", S6T, "done", "both ways: authorisation for a device or group; validity, revocation, identities and members told by the HSS"),
    ("NIA", S6T, "done", "2001, 3004, 5001 (3GPP), 5012"),
    ("CIR", S6T, "partly", "sent: monitoring events, communication patterns, network parameters, enhanced coverage; one that comes: 3001"),
    ("CIA", S6T, "partly", "its result, Monitoring-Event-Config-Status, reports at once"),
    ("DAR", TSP, "done", "trigger, replace, recall; Device-Action with External-Identifier or MSISDN"),
    ("DAA", TSP, "done", "Request-Status by spec/trigger_result.csv; 3004 and no answer: 503, or another MTC-IWF"),
    ("DNR", TSP, "partly", "delivery reports; MSISDN-less short messages are answered 5012"),
    ("DNA", TSP, "done", "2001 when durable; 3004; 5004 with the reference that is not known"),
    ("SIR", S6M, "done", "before each DTR"),
    ("SIA", S6M, "done", "IMSI and MSISDN, serving nodes, HSS-Cause: go on to the SMS-SC, nothing is kept of them"),
    ("DTR", T4, "done", "trigger, replace, recall"),
    ("DTA", T4, "done", "2001 or why not, by spec/trigger_result.csv"),
    ("DRR", T4, "done", "what became of a trigger"),
    ("DRA", T4, "done", "as DNA"),
]

AVPS = [  # name, how far, what
    ("User-Identifier", "done", "T6a: User-Name (the IMSI) is needed. S6t: External-Identifier, MSISDN or User-Name"),
    ("Bearer-Identifier", "done", "part of the connection's key"),
    ("Connection-Action", "done", "0 establish, 1 release, 2 update"),
    ("CMR-Flags", "done", "bit 0, UE reachable; it has no other"),
    ("Maximum-UE-Availability-Time", "done", "end of the contact"),
    ("Service-Selection", "done", "compared with the APN of the device's configurations"),
    ("Serving-PLMN-Rate-Control", "done", "downlinks wait for it, uplinks beyond it are counted"),
    ("RAT-Type", "done", "kept with the connection and shown"),
    ("Non-IP-Data", "done", "the frame"),
    ("External-Identifier", "done", "several of one device are aliases of its twin"),
    ("MSISDN", "done", "TBCD"),
    ("NIDD-Authorization-Request", "done", "APN, where one is configured; end of the configuration, where it has one"),
    ("Requested-Validity-Time", "done", "`duration` of T8"),
    ("NIDD-Authorization-Response", "done", "binds IMSI, MSISDN and External Identifiers to the twin"),
    ("Granted-Validity-Time", "done", "asked for again before it ends; in the past: not granted. A zero is the past"),
    ("NIDD-Authorization-Update", "done", "without APN-Validity-Time nothing but identities changes"),
    ("APN-Validity-Time", "done", "without Service-Selection: all APNs"),
    ("Type-Of-External-Identifier", "done", "1: the identifier of a group"),
    ("Group-User-Identifier", "done", "members of a group, by the first of External-Identifier, MSISDN, User-Name that is there"),
    ("NIA-Flags", "done", "bit 0: the list of members goes on in NIRs of the HSS"),
    ("NIR-Flags", "done", "bit 0: it goes on in the next one"),
    ("MTC-Provider-Info", "done", "`mtcProviderId` of T8"),
    ("RRC-Cause-Counter", "done", "present: an exception report, outside the APN's uplink quota"),
    ("SCEF-Wait-Time", "done", "sent"),
    ("Maximum-Retransmission-Time", "done", "sent"),
    ("Requested-Retransmission-Time", "done", "the next contact"),
    ("TDA-Flags", "done", "bit 0: SUCCESS_NEXT_HOP_ACKNOWLEDGED"),
    ("Monitoring-Event-Configuration", "done", "sent, with what T8 says of its type; without Charged-Party. Of an MME, to an IWK-SCEF: which SCEF an event is of"),
    ("Monitoring-Event-Config-Status", "done", "a Service-Report without success refuses. Of an IWK-SCEF: 2001, or 5101 without agreement"),
    ("Monitoring-Event-Report", "done", "an event: `monitoringEventReports` of T8. Event-Handling: the end of it; suspended and resumed are in the timeline"),
    ("Monitoring-Event-Report-Status", "done", "2001, 5012 or 5515, with the reference that was told"),
    ("AESE-Communication-Pattern", "done", "communication patterns of T8"),
    ("AESE-Communication-Pattern-Config-Status", "done", "what became of each set"),
    ("Additional-Identifiers", "no", ""),
    ("Enhanced-Coverage-Restriction", "done", "ECRControl of T8"),
    ("Enhanced-Coverage-Restriction-Data", "done", "what is in force"),
    ("IMSI-Group-Id", "no", ""),
    ("S6t-HSS-Cause", "no", ""),
    ("Suggested-Network-Configuration", "done", "network parameters of T8; in an answer what the network uses"),
    ("CIR-Flags", "partly", "bits 0 and 1"),
    ("Group-Reporting-Guard-Timer", "done", "`groupReportGuardTime` of T8"),
    ("Number-Of-UEs", "partly", "read, nothing comes of it"),
    ("CIA-Flags", "partly", "bit 0 is read: what becomes of members comes in reports"),
    ("Session-Id", "done", "repeated; no state is kept for it"),
    ("Auth-Session-State", "done", "NO_STATE_MAINTAINED is sent; what comes is not compared"),
    ("Origin-Host", "done", "of a T6a request: the serving node, also behind a relay; with the End-to-End id it tells a repetition. A listed peer bears its own, else 5004"),
    ("Origin-Realm", "done", "of a T6a request: the realm of the serving node"),
    ("Destination-Host", "done", "another one: 3002. Sent in requests to an MME, not to an HSS"),
    ("Destination-Realm", "done", "another one: 3003"),
    ("Route-Record", "done", "our name in it: 3005"),
    ("Result-Code", "done", "see below"),
    ("Experimental-Result", "done", "see below; of an answer, whatever its Vendor-Id"),
    ("Proxy-Info", "done", "repeated in the answer"),
    ("Failed-AVP", "done", "with the groups the AVP came in"),
    ("Extended-PCO", "no", ""),
    ("3GPP-Charging-Characteristics", "done", "kept with the connection and shown"),
    ("APN-Rate-Control-Status", "done", "of a CMR: the time units of APN rate control go on; told in a CMA and CMR that release. Its validity time is taken as an NTP timestamp: *unverified*"),
    ("PDN-Connection-Charging-ID", "done", "told in the CMA of an establishment; no two connections of years have the same"),
    ("Supported-Features", "partly", "Tsp, T4: feature 0 of list 1, replace and recall, **unverified**; else none is told"),
    ("OC-OLR", "done", "[below](#overload-load-and-priority): host reports are told; reports of hosts and realms are obeyed (loss)"),
    ("Load", "done", "of the host, to who can hear of overload; what HSSs say shares questions among them"),
    ("DRMP", "done", "repeated in the answer; what is refused first goes by it; sent in an MT-Data-Request with a `priority`"),
    ("OC-Supported-Features", "done", "in every request and answer whose command has it: the loss algorithm"),
    ("Terminal-Information", "done", "the type of the device (the first 8 digits of the IMEI) and its software version are kept and shown; the rest of the IMEI is not kept"),
    ("Visited-PLMN-Id", "done", "kept and shown, decides with `visited` of `t8.apns` what may be used; an IWK-SCEF adds it to a CMR"),
    ("Group-Report", "done", "each item is told of, and to the member's twin"),
    ("RIR-Flags", "partly", "bits 1, 3 and 4: all that the device has of a kind is over"),
    ("Supported-Services", "no", ""),
    ("Updated-Network-Configuration", "done", "told to the exposure of its reference"),
    ("Device-Action", "done", "Tsp"),
    ("Action-Type", "done", "Tsp: 1 trigger, 2 report, 3 recall, 4 replace"),
    ("Trigger-Data", "done", "Tsp: payload, priority, port"),
    ("Payload", "done", "`triggerPayload` of T8"),
    ("Priority-Indication", "done", "`priority` of T8"),
    ("Application-Port-Identifier", "done", "`applicationPortId` of T8; on T4 it stands for SMS-Application-Port-ID"),
    ("Validity-Time", "done", "`validityPeriod` of T8"),
    ("Old-Reference-Number", "done", "of a trigger that is replaced or recalled"),
    ("SCS-Identity", "done", "`t8.trigger_sender` as TBCD, where it is set"),
    ("Request-Status", "done", "Tsp: of a DAA"),
    ("Delivery-Outcome", "done", "Tsp: of a DNR"),
    ("MTC-Error-Diagnostic", "done", "in the problem's detail"),
    ("Feature-Supported-In-Final-Target", "done", "Tsp: bit 0: it can be replaced and recalled"),
    ("Service-ID", "done", "S6m: 0, DEVICE_TRIGGER"),
    ("SIR-Flags", "done", "S6m: bit 0, from an MTC-IWF"),
    ("Service-Parameters", "done", "S6m"),
    ("T4-Parameters", "done", "S6m: priority and sender"),
    ("Service-Data", "done", "S6m"),
    ("T4-Data", "done", "S6m"),
    ("HSS-Cause", "done", "S6m: absent subscriber: the SMS-SC gets no serving nodes; the others are refusals"),
    ("Serving-Node", "done", "from SIA to DTR as it came"),
    ("Additional-Serving-Node", "done", "as above"),
    ("Trigger-Action", "done", "T4: 0 trigger, 1 recall, 2 replace; of a DTA not looked at"),
    ("Auth-Application-Id", "done", "at the top of Tsp's messages; in CER and CEA"),
    ("Device-Notification", "done", "Tsp: of a DNR Action-Type 2 only, else 5012"),
    ("Reference-Number", "done", "Tsp, T4: which trigger; an unknown one is 5004 with it in Failed-AVP, **unverified**"),
    ("SM-RP-SMEA", "done", "T4: sent as an address of TS 23.040 9.1.2.5, **unverified**; of a report not looked at"),
    ("SM-Delivery-Outcome-T4", "done", "T4: what it means is in [device triggers](#device-triggers)"),
    ("Absent-Subscriber-Diagnostic-T4", "no", ""),
    ("Origin-State-Id", "done", "in CER, CEA, DWR and DWA; in Tsp's not looked at"),
    ("Error-Message", "no", ""),
    ("Error-Reporting-Host", "no", ""),
    ("Redirect-Host", "no", ""),
    ("Redirect-Host-Usage", "no", ""),
    ("Redirect-Max-Cache-Time", "no", ""),
    ("Vendor-Specific-Application-Id", "done", "in CER and CEA; in T4's not looked at"),
]

CAUSES = [  # code, vendor, when
    ("2001", "0", "kept; also when the twin trapped"),
    ("3001", "0", "a command that is not done"),
    ("3002", "0", "another Destination-Host; no answer of the core in 30 s"),
    ("3003", "0", "another Destination-Realm"),
    ("3004", "0", "not able to keep it now: nothing was kept"),
    ("3005", "0", "our name in Route-Record"),
    ("3007", "0", "the application was not agreed on"),
    ("3008", "0", "E bit in a request"),
    ("3009", "0", "reserved AVP bits"),
    ("3010", "0", "CER: not a peer of ours"),
    ("4003", "0", "CER: both connected, the other connection stays"),
    ("5001", "0", "unknown AVP with M bit"),
    ("5004", "0", "a value; groups nested too deep"),
    ("5005", "0", "an AVP is missing"),
    ("5009", "0", "an AVP too often"),
    ("5010", "0", "CER: no common application"),
    ("5011", "0", "version; then closed"),
    ("5012", "0", "too many AVPs, or too large for a twin; an uplink beyond the rate of its APN; a subscription of another twin"),
    ("5014", "0", "an AVP's length"),
    ("5015", "0", "the message's length; then closed"),
    ("5017", "0", "CER: wants TLS inside"),
    ("5001", "10415", "no twin has this IMSI, or this identity"),
    ("5101", "10415", "a listed peer, for a device or over an APN that is not its own; one with `imsis` that ends all of a device (RIR-Flags) or speaks of a group without the IMSI of a member"),
    ("5515", "10415", "a report nobody asked for, or not any more; of a listed peer with `imsis`, too, about a device that is not its own"),
    ("5651", "10415", "no such connection"),
    ("5652", "10415", "CMR: no twin has this IMSI, or nobody configured it for this APN"),
    ("5653", "10415", "taken in a TDA: the device sleeps"),
]


def rows(name):
    with open(SPEC / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def used_in_gate():
    """Names of the AVPs that the gate's sources have, as they write them."""
    found = set()
    for path in [*(SPEC.parent / "src" / "gate").glob("*.c"), SPEC.parent / "src" / "wire" / "diameter" / "write.c"]:
        if not path.name.endswith(("_test.c", "_testbed.c")):
            found |= set(re.findall(r"\bAVP_[A-Z0-9_]+", path.read_text(encoding="utf-8")))
    return found


def compare(commands):
    """What the tables say against the grammars and the sources."""
    states = {row[:2]: row[2] for row in COMMANDS}
    shown = {name: state for name, state, _ in AVPS}
    wanted = {avp.rstrip("=!?*+") for fact in commands.values() if states.get((fact["abbreviation"], fact["application"])) in ("done", "partly")
              for avp in fact["grammar"].split()}
    if wanted - shown.keys():
        sys.exit(f"AVPs of commands that are done without a row: {sorted(wanted - shown.keys())}")
    used = used_in_gate()
    wrong = [name for name, state in shown.items() if (f"AVP_{name.upper().replace('-', '_')}" in used) == (state == "no")]
    if wrong:
        sys.exit(f"AVPs that the sources do not treat as the table says: {wrong}")


def main():
    out = ["| command | application | state | what | clause | certainty |", "| --- | --- | --- | --- | --- | --- |"]
    facts = {(r["abbreviation"], r["application"]): r for r in rows("diameter_command.csv")}
    compare(facts)
    missing = {k for k in facts if k[1] != "0"} - {c[:2] for c in COMMANDS}
    if missing:
        sys.exit(f"commands of spec/diameter_command.csv without a row here: {missing}")
    for name, application, state, what in COMMANDS:
        fact = facts[name, application]
        out.append(f"| {name} | {LABELS[application]} | {state} | {what} | {fact['clause']} | {fact['sources']} |")
    out += ["", "| AVP | code | state | what | certainty |", "| --- | --- | --- | --- | --- |"]
    facts = {r["name"]: r for r in rows("diameter_avp.csv")}
    for name, state, what in AVPS:
        out.append(f"| {name} | {facts[name]['code']} | {state} | {what} | {facts[name]['sources']} |")
    out += ["", "| result | name | when | clause | certainty |", "| --- | --- | --- | --- | --- |"]
    facts = {(r["code"], r["vendor"]): r for r in rows("causes.csv")}
    for code, vendor, when in CAUSES:
        fact = facts[code, vendor]
        out.append(f"| {code}{'' if vendor == '0' else ' (3GPP)'} | {fact['name']} | {when} | {fact['clause']} | {fact['certainty']} |")
    text = "\n".join(out) + "\n"
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="utf-8") as file:
            if text not in file.read():
                sys.exit(f"{sys.argv[2]}: its tables are not what tools/scef_page.py prints")
    else:
        sys.stdout.write(text)


main()
