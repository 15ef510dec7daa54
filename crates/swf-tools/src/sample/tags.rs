//! Production tags of the sample: a part of those a new production database starts with.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value as Json, json};
use swf_db::schema::Table;
use swf_db::{Error, Tx};

use crate::tables::{pcs_evgen_tag, pcs_physics_category, pcs_physics_tag, pcs_reco_tag, pcs_simu_tag};

/// Author of the production tags.
const AUTHOR: &str = "srahman1";

/// Number, process, electron and hadron energy, species, extra parameter, description.
type Physics = (i64, &'static str, &'static str, &'static str, &'static str, &'static str);

const PHYSICS: [Physics; 10] = [
    (1001, "DIS_NC", "5", "41", "minQ2=1", "DIS NC 5x41 ep minQ2=1"),
    (1002, "DIS_NC", "5", "100", "minQ2=1", "DIS NC 5x100 ep minQ2=1"),
    (1003, "DIS_NC", "10", "100", "minQ2=1", "DIS NC 10x100 ep minQ2=1"),
    (1004, "DIS_CC", "18", "275", "minQ2=100", "DIS CC 18x275 ep minQ2=100"),
    (2005, "DVCS", "5", "41", "", "DVCS 5x41 ep"),
    (2006, "DVCS", "10", "100", "", "DVCS 10x100 ep"),
    (3007, "SIDIS_D0", "18", "275", "", "SIDIS D0 18x275 ep"),
    (4008, "DEMP", "10", "100", "q2_1to10", "DEMP 10x100 ep Q2 1-10"),
    (4009, "UPSILON", "18", "275", "", "Upsilon 18x275 ep"),
    (4010, "PHOTOPRODUCTION_JPSI", "18", "275", "", "Photoproduction J/psi 18x275 ep"),
];

const GENERATORS: [(&str, &str); 5] = [
    ("pythia8", "8.310"),
    ("EpIC", "v1.1.6-1.2"),
    ("BeAGLE", "1.03.02-1.2"),
    ("sartre", "1.39-1.1"),
    ("pythia8", "8.306-1.0"),
];

pub(super) async fn fill(tx: &mut Tx<'_>, now: DateTime<Utc>) -> Result<(), Error> {
    for (digit, name) in (1i64..).zip(["DIS", "DVCS", "SIDIS", "EXCLUSIVE"]) {
        let row = [("digit", digit.into()), ("name", name.into()), ("created_by", AUTHOR.into())];
        super::insert(tx, now, &pcs_physics_category::TABLE, &row).await?;
    }
    for (number, process, electron, hadron, q2, description) in PHYSICS {
        let mut parameters = Map::from_iter([
            ("process".to_owned(), process.into()),
            ("beam_energy_electron".to_owned(), electron.into()),
            ("beam_energy_hadron".to_owned(), hadron.into()),
            ("beam_species".to_owned(), "ep".into()),
        ]);
        if !q2.is_empty() {
            parameters.insert("q2_range".to_owned(), q2.into());
        }
        let parameters = Json::Object(parameters);
        tag(tx, now, &pcs_physics_tag::TABLE, "p", number, description, parameters).await?;
    }
    for (number, (generator, version)) in (1i64..).zip(GENERATORS) {
        let description = format!("{generator} {version}, no backgrounds");
        let parameters = json!({"generator": generator, "generator_version": version});
        tag(tx, now, &pcs_evgen_tag::TABLE, "e", number, &description, parameters).await?;
    }
    let simulation = json!({"detector_sim": "npsim", "sim_version": "26.02.0"});
    tag(tx, now, &pcs_simu_tag::TABLE, "s", 1, "npsim 26.02.0, standard filters", simulation).await?;
    let reconstruction = json!({"reco_version": "26.02.0", "reco_config": "standard"});
    tag(tx, now, &pcs_reco_tag::TABLE, "r", 1, "eicrecon 26.02.0, standard", reconstruction).await
}

async fn tag(
    tx: &mut Tx<'_>,
    now: DateTime<Utc>,
    table: &Table,
    letter: &str,
    number: i64,
    description: &str,
    parameters: Json,
) -> Result<(), Error> {
    let made = now - TimeDelta::days(60) + TimeDelta::minutes(number);
    let mut row = vec![
        ("tag_number", number.into()),
        ("tag_label", format!("{letter}{number}").into()),
        ("status", if number % 3 == 0 { "draft" } else { "locked" }.into()),
        ("description", description.into()),
        ("parameters", parameters.into()),
        ("created_by", AUTHOR.into()),
        ("created_at", made.into()),
        ("updated_at", made.into()),
    ];
    if letter == "p" {
        row.push(("category_id", (number / 1000).into()));
    }
    super::insert(tx, now, table, &row).await.map(drop)
}
