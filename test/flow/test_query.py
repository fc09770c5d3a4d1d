"""POST /v1/query of the whole host: tables, tags, rights and limits."""
import re

import pytest
from host import thermo_reading

SITES = ("north", "south", "east")


@pytest.fixture(scope="module")
def fleet(real):
    """Thirty thermometers, twenty of which have reported."""
    from mme import Mme
    lines = [{"id": f"q{n:02}@q.example", "model": "acme/thermo", "imsi": f"00101900000{n:04}", "tags": {"site": SITES[n % 3], "x-y": "odd"}}
             for n in range(30)]
    assert all(line["status"] == 201 for line in real.admin.bulk(lines))
    with Mme(real) as mme:
        for n in range(20):
            mme.attach(lines[n]["imsi"]).uplink(lines[n]["imsi"], thermo_reading(1, 10.0 + n, battery=2900 if n == 5 else 3600))
    return real.application("q", ["q.example"], ["read", "write"])


def ask(client, sql):
    answer = client.post("/v1/query", {"sql": sql})
    assert answer.status == 200, answer
    return answer.json()


def refused(client, sql, status):
    answer = client.post("/v1/query", {"sql": sql})
    assert answer.status == status and answer.headers["Content-Type"].startswith("application/problem+json"), answer
    return answer.json()


def test_the_contracts_example(fleet):
    told = ask(fleet, "select count(*), avg(temperature) from thermo where site = 'north'")
    assert set(told) >= {"columns", "rows", "micros"} and told["micros"] >= 0
    assert told["rows"] == [[10, pytest.approx(sum(10.0 + n for n in range(0, 20, 3)) / 7)]]


def test_a_model_is_a_table_under_both_names(fleet):
    assert ask(fleet, 'select count(*) from "acme/thermo"')["rows"] == ask(fleet, "select count(*) from thermo")["rows"] == [[30]]


def test_columns_are_properties_id_time_revision_and_last_contact(fleet):
    told = ask(fleet, "select id, temperature, battery_low, time, revision, last_contact from thermo where id = 'q05@q.example'")
    assert told["columns"] == ["id", "temperature", "battery_low", "time", "revision", "last_contact"]
    [row] = told["rows"]
    assert row[:3] == ["q05@q.example", 15.0, True] and row[4] == 1
    for time in (row[3], row[5]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", time)
    assert row[5] == fleet.twin("q05@q.example")["contact"]["last"]


def test_never_set_is_null(fleet):
    told = ask(fleet, "select temperature, battery_low, last_contact, readings from thermo where id = 'q25@q.example'")
    assert told["rows"] == [[None, None, None, 0]]
    assert ask(fleet, "select count(*) from thermo where temperature is null")["rows"] == [[10]]


def test_booleans_are_json(fleet):
    assert ask(fleet, "select distinct battery_low from thermo where temperature is not null order by 1")["rows"] == [[False], [True]]
    assert ask(fleet, "select id from thermo where battery_low")["rows"] == [["q05@q.example"]]


def test_tags(fleet):
    told = ask(fleet, "select tag('site'), count(*), min(temperature), max(temperature) from thermo group by 1 order by 1 desc limit 2")
    assert told["rows"] == [["south", 10, 11.0, 29.0], ["north", 10, 10.0, 28.0]] or \
        [row[0] for row in told["rows"]] == ["south", "north"]
    assert ask(fleet, "select count(*) from thermo where tag('x-y') = 'odd'")["rows"] == [[30]]
    assert ask(fleet, "select tag('none') from thermo limit 1")["rows"] == [[None]]
    fleet.put_twin("q00@q.example", tags={"temperature": "mine"})  # a property's name: the column stays the property
    assert ask(fleet, "select temperature, tag('temperature') from thermo where id = 'q00@q.example'")["rows"] == [[10.0, "mine"]]
    refused(fleet, 'select "x-y" from thermo', 400)


def test_sums_order_and_limit(fleet):
    assert ask(fleet, "select sum(readings) from thermo")["rows"] == [[20]]
    assert ask(fleet, "select id from thermo where temperature > 20 order by temperature desc limit 3")["rows"] == \
        [["q19@q.example"], ["q18@q.example"], ["q17@q.example"]]
    assert ask(fleet, "select round(avg(temperature), 2) as mean from thermo where temperature between 10 and 12")["columns"] == ["mean"]


def test_the_tables_are_read_only(fleet):
    for sql in ("delete from thermo", "update thermo set temperature = 1", "insert into thermo(id) values ('x')", "drop table thermo",
                "create table t(x)", "pragma table_info(thermo)", "attach 'x' as y", "vacuum", "begin", "select load_extension('x')",
                "select writefile('x', 'y')", "select 1; select 2"):
        refused(fleet, sql, 400)
    assert ask(fleet, "select count(*) from thermo")["rows"] == [[30]]


def test_errors_have_their_position(fleet):
    told = refused(fleet, "select temprature from thermo", 400)
    assert told["position"] == 7 and "temprature" in told["detail"]
    assert refused(fleet, "select id frm thermo where", 400)["position"] > 0
    refused(fleet, "", 400)
    refused(fleet, "select * from nothing", 400)


def test_too_much_is_422_query_too_expensive(fleet):
    told = refused(fleet, "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c", 422)
    assert "query_too_expensive" in told["type"]
    refused(fleet, "with recursive c(x) as (select 1 union all select x + 1 from c limit 10001) select x from c", 422)
    assert len(ask(fleet, "with recursive c(x) as (select 1 union all select x + 1 from c limit 10000) select x from c")["rows"]) == 10000
    assert ask(fleet, "select count(*) from thermo")["rows"] == [[30]]


def test_own_domains_only(real, fleet):
    real.admin.put_twin("foreign@z.example")
    assert ask(fleet, "select count(*) from thermo where id = 'foreign@z.example'")["rows"] == [[0]]
    assert ask(fleet, "select count(*) from thermo")["rows"] == [[30]]
    assert ask(real.admin, "select count(*) from thermo")["rows"] == [[31]]
    nobody = real.application("nobody", ["empty.example"], ["read"])
    assert ask(nobody, "select count(*) from thermo")["rows"] == [[0]]
    refused(real.application("none", ["q.example"], ["write"]), "select 1", 403)


def test_no_secret_is_a_column(fleet):
    for name in ("key", "calibration", "imsi", "msisdn", "secrets", "context"):
        refused(fleet, f"select {name} from thermo", 400)


def test_bodies_that_are_none(fleet):
    for body in ("{", "[]", '{"sql":1}', '{"sql":"select 1","more":1}', "{}"):
        assert fleet.post("/v1/query", body, Content_Type="application/json").status in (400, 422)


def test_after_a_restart_the_tables_are_the_same(real, fleet):
    sql = "select id, temperature, battery_low, time, revision, last_contact, tag('site') from thermo order by id"
    before = ask(fleet, sql)["rows"]
    real.kill()
    real.start()
    fleet.close()
    assert ask(fleet, sql)["rows"] == before


def test_a_statement_of_more_than_64_kib_is_400_with_its_position(fleet):
    assert ask(fleet, "select 1" + " " * (65536 - 8))["rows"] == [[1]]
    for length in (65537, 120000):
        told = refused(fleet, "select 1" + " " * (length - 8), 400)
        assert told["position"] == 65536 and "65536 bytes" in told["detail"]
    refused(fleet, "select 1" + " " * 200000, 413)  # the body itself
