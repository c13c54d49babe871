//! dev
use corelog_engine::{broker, config, runtime::stop::Stop};
fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.remove(0);
    let settings: Vec<(String, String)> = args.iter().map(|a| a.split_once('=').unwrap()).map(|(a, b)| (a.into(), b.into())).collect();
    let mut config = config::load(None, &settings).unwrap_or_else(|e| panic!("{e}"));
    config.data_dir = dir;
    let stop = Stop::on_signals().unwrap();
    let exit = broker::run(broker::BrokerOptions { config, accept_loss: false, cpu: None }, stop, |r| println!("ready {} {:?}", r.address, r.report));
    match exit { Ok(e) => println!("exit {e:?}"), Err(e) => println!("error {e}") }
}
